from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.recipes.adapt import noise_tuning
from sonograph.recipes.adapt.noise_tuning import ARMS, SCALES, SHIFTS, TASKS, Scale
from sonograph.systems.adapt.noise_tuning import RepairedHead
from sonograph.train.finetune import Examples, finetune
from tests.train.test_finetune import QUICK, examples

__all__ = ["examples"]


def test_flips_are_of_the_share_and_grow_with_it():
    targets = torch.arange(10).repeat(500)
    before = torch.zeros_like(targets, dtype=torch.bool)
    for share in SCALES["cpu"].noises:
        made = noise_tuning.flipped(targets, share, 10, seed=3)
        wrong = made != targets
        assert wrong.float().mean().item() == pytest.approx(share, abs=0.02)
        assert bool((wrong | ~before).all())  # what was wrong stays so
        assert set(made.tolist()) == set(range(10))
        before = wrong
    away = (noise_tuning.flipped(targets, 1.0, 10, seed=3) - targets) % 10
    assert torch.bincount(away, minlength=10).tolist()[0] == 0
    assert torch.bincount(away)[1:].min() > 450  # each other class as likely


@pytest.mark.parametrize(("share", "classes"), [(-0.1, 3), (1.1, 3), (float("nan"), 3), (0.5, 1)])
def test_a_share_is_one_of_several_classes(share, classes):
    with pytest.raises(InputError, match="cannot be flipped"):
        noise_tuning.flipped(torch.zeros(4, dtype=torch.long), share, classes, 0)


def syllables(rhymes: str, each: int = 24) -> Clips:
    """Clips that are never read."""
    made = []
    for name in rhymes:
        for k in range(each):
            labels = {"syllable": "ㄅㄇ"[k % 2] + name, "tone": ("1", "2", "neutral")[k % 3]}
            made.append(
                Clip(f"{name}{k}", Path("x"), 0.5, 16_000, labels=labels, source="gcin",
                     group=f"{name}{k}")
            )  # fmt: skip
    return Clips(made)


def test_no_rhyme_is_in_pre_training_and_in_a_task():
    source, tasks = noise_tuning.divided(syllables("ㄚㄛㄜㄞㄟㄠㄡㄢㄣ"))
    assert len(source.classes("rhyme")) == 6
    assert len(tasks.classes("rhyme")) == 3
    assert not set(source.classes("rhyme")) & set(tasks.classes("rhyme"))
    assert tasks.classes("tone") == ["1", "2"]
    assert tasks.classes("manner") == ["sonorant", "stop"]
    with pytest.raises(InputError, match="sonograph data get gcin"):
        noise_tuning.divided(syllables("ㄚㄛㄜㄞㄟㄠㄡㄢㄣ", each=20))


def test_a_room_adds_a_tail_and_keeps_the_length():
    click = np.zeros(8000, np.float32)
    click[100] = 1
    heard = noise_tuning.room(click, 16_000, Clip("a", Path("x"), 0.5, 16_000))
    assert heard.shape == click.shape
    assert heard.dtype == np.float32
    assert np.abs(heard[:100]).max() < 1e-6
    early, late = (np.square(heard[a:b]).sum() for a, b in ((200, 1800), (6200, 7800)))
    # 60 dB in 0.6 s: 6000 samples later it is 37.5 dB weaker
    assert 10 * np.log10(early / late) == pytest.approx(37.5, abs=1)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_a_head_learns_two_views_and_leaves_the_encoder(arm):
    encoder = registry.build("ssast-test", seed=0)
    kept = {name: value.clone() for name, value in encoder.state_dict().items()}
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(24, 2, encoder.width, generator=draw)
    targets = (vectors[:, :, 0].mean(1) > 0).long()
    known = Examples(vectors, torch.ones(24), targets, ("a", "b"), tuple(map(str, range(24))))
    plan = dataclasses.replace(SCALES["cpu"], head_batch=8)
    head = noise_tuning.head_on(known, encoder, arm, plan, seed=0)
    assert isinstance(head.head, RepairedHead) == (arm.method != "linear")
    assert (
        noise_tuning._accuracy(head, dataclasses.replace(known, features=vectors[:, 0]), range(24))
        > 0.8
    )
    again = noise_tuning.head_on(known, encoder, arm, plan, seed=0)
    for one, other in zip(head.parameters(), again.parameters()):
        assert torch.equal(one, other)
    assert all(torch.equal(value, kept[n]) for n, value in encoder.state_dict().items())


def test_a_head_with_batch_statistics_resumes_to_the_same_bits(examples, tmp_path):
    base = tmp_path / "base"
    weights.save_folder(base, registry.build("ssast-test", seed=3), {})

    def taught(name: str, updates: int) -> dict[str, torch.Tensor]:
        config = dataclasses.replace(QUICK, method="nmtune").override(
            {"train.steps": updates, "train.schedule": "constant", "train.save_every": 2}
        )
        finetune(weights.load(base), examples, None, tmp_path / name, config, base=str(base))
        return dict(weights.read_tensors(tmp_path / name / weights.DELTA))

    whole, _ = taught("whole", 6), taught("cut", 2)
    again = taught("cut", 6)
    assert whole.keys() == again.keys()
    assert {"head.norm.running_mean", "head.norm.running_var"} <= whole.keys()
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def rows(gain: float, harm: float) -> list[dict]:
    """Made results: NMTune better by `gain` on shifts, noise worse by `harm` there."""
    draw = np.random.default_rng(0)
    made = []
    for seed in range(3):
        for noise in SCALES["cpu"].noises:
            tasks: dict = {}
            for task in TASKS:
                for arm in ARMS:
                    level = 0.5 + draw.normal(0, 1e-4) + gain * (arm.name == "nmtune")
                    where = dict.fromkeys(SHIFTS, level - harm * (noise > 0))
                    tasks.setdefault(task, {})[arm.name] = {"recorded": level, **where}
            spectra = {"recorded": {"SVE": 3.0 + noise, "LSVR": 1.0}}
            made.append(
                {"seed": seed, "noise": noise, "source": 0.5, "tasks": tasks, "spectra": spectra}
            )
    return made


def test_the_rule_decides_each_claim():
    def verdicts(gain: float, harm: float) -> dict[str, str]:
        found = noise_tuning.records_of(rows(gain, harm), Scale((8,), 1), {}, ("gcin",))
        return {name: record.verdict for name, record in found}

    better = verdicts(0.1, 0.1)
    assert better["claim"] == better["claim-mlp"] == better["claim-shifted-noise"] == "shown"
    worse = verdicts(-0.1, -0.1)
    assert worse["claim"] == worse["claim-mlp"] == worse["claim-shifted-noise"] == "not shown"
    record = dict(noise_tuning.records_of(rows(0.1, 0.2), Scale((8,), 1), {}, ("gcin",)))
    assert record["claim"].measured[0].value == pytest.approx(0.1, abs=1e-3)
    assert record["claim-shifted-noise"].measured[0].value == pytest.approx(0.2, abs=1e-3)
    assert record["claim-slight-noise"].measured[0].value == pytest.approx(0, abs=1e-3)
    assert "9 pairs" in record["claim"].rule
