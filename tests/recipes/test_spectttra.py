from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import cli, records, registry, weights
from sonograph.data.clips import Clip, Clips
from sonograph.data.resynthesis import resynthesised
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.progress import silent
from sonograph.recipes.tag.spectttra import claims, training
from sonograph.systems.tag import spectttra as system

RATE_HZ = 16_000


def sounds(folder: Path, labelled: bool = False) -> Clips:
    """Noise; of labelled clips every second is without its upper half."""
    made = []
    for n in range(40):
        noise = np.random.default_rng(n).standard_normal(RATE_HZ * 3 // 2)
        if labelled and n % 2:
            noise = np.convolve(noise, np.ones(12) / 12, "same")
        wave = (0.1 * noise / noise.std())[None].astype(np.float32)
        Audio(wave, RATE_HZ).write(folder / f"c{n}.wav")
        labels = {"song": "synthetic" if n % 2 else "real"} if labelled else {}
        made.append(Clip(f"c{n}", folder / f"c{n}.wav", 1.5, RATE_HZ, group=f"g{n}", labels=labels))
    return Clips(made)


def short(**changes) -> training.Recipe:
    recipe = training.recipe_of("spectttra-test").override(
        {"batch": 16, "workers": 0, "train.steps": 40, "train.warmup_steps": 4,
         "train.lr": 3e-3, "train.eval_every": 20}
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


@pytest.mark.slow
def test_training_on_re_synthesis_leaves_a_tagger_that_the_command_uses(tmp_path):
    clips, run = sounds(tmp_path), tmp_path / "run"
    recipe = short(makers=("opus",), pairs=64, mixup_chance=0.0)
    summary = training.pretrain("spectttra-test", clips, run, recipe)
    assert summary.best["f1"] > 0.9  # Opus at so few bits takes the highest band away
    model = weights.load(run)
    assert model.labels == ("real", "synthetic")
    assert model.card["labels"] == ["real", "synthetic"]
    assert "re-synthesis by opus" in model.card["summary"]
    assert "not of generated songs" in model.card["summary"]
    held = sorted((run / "sounds").glob("*-real.flac"))
    heard = {clip.group for clip in (*clips.split("train"), *clips.split("valid"))}
    assert len(held) <= len(heard) < 40  # the test split was not touched
    untouched = clips.split("test")[0]
    answer = model.tag(untouched.path)
    assert answer.top(1)[0].label == "real"
    assert sum(score for _, score in answer.top(2)) == pytest.approx(1, abs=1e-5)
    made = resynthesised(Clips([untouched]), tmp_path / "other", RATE_HZ, 1.2, ["opus"], 1, 1)
    command = [sys.executable, "-m", "sonograph.cli", "tag", str(made[1].path), "--model", str(run)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[0] == str(made[1].path)
    first, second = (line.split() for line in told[1:3])
    assert (first[1], second[1]) == ("synthetic", "real")
    assert 50 < float(first[0].rstrip("%")) <= 100


def test_the_command_asks_for_no_labels(tmp_path):
    """Clips with labels for several tasks, none of which is asked for: they are made again."""
    sounds(tmp_path)
    rows = [f"c{n}.wav,{n % 3},{n % 5}" for n in range(40)]
    (tmp_path / "clips.csv").write_text("\n".join(["path,animal,place", *rows]) + "\n")
    told = ["--data", str(tmp_path / "clips.csv"), "--steps", "2", "--batch", "4"]
    told += ["-o", str(tmp_path / "run"), "--set", 'makers=["opus"]', "pairs=8", "workers=0"]
    assert cli.main(["train", "spectttra-test", *told]) == 0
    assert weights.load(tmp_path / "run").labels == ("real", "synthetic")


def test_training_on_labels_of_your_own(tmp_path):
    clips = sounds(tmp_path, labelled=True)
    summary = training.pretrain("spectttra-test", clips, tmp_path / "run", short(task="song"))
    assert summary.best["f1"] > 0.9
    assert not (tmp_path / "run" / "sounds").exists()
    assert "labelled clips" in weights.load(tmp_path / "run").card["summary"]


def test_labels_must_be_real_and_synthetic(tmp_path):
    clips = Clips([dataclasses.replace(c, labels={"song": "a"}) for c in sounds(tmp_path)])
    with pytest.raises(InputError, match="'song' has the classes a: it takes real and synthetic"):
        training.pretrain("spectttra-test", clips, tmp_path / "run", short(task="song"))
    with pytest.raises(InputError, match="not trained by the recipe of SpecTTTra"):
        training.pretrain("ssast-test", clips, tmp_path / "run")


def test_mixtures_and_stripes_come_by_chance():
    values, lengths = torch.ones(4, 128, 40), torch.tensor([40, 30, 20, 10])
    targets = torch.tensor([1.0, 0.0, 0.0, 0.0])
    for mixup, stripe in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        recipe = training.Recipe(mixup_chance=mixup, stripe_chance=stripe)
        made = training.altered(values, lengths, targets, recipe, torch.Generator().manual_seed(3))
        assert (made[1].tolist() == [40, 40, 30, 20]) == bool(mixup)
        assert bool((made[0] == 0).any()) == bool(stripe)
        # one share for the batch, with the neighbour before
        assert float(made[2].sum()) == pytest.approx(1)
        assert (0 < float(made[2][1]) < 1) == bool(mixup)


def test_evaluation_hears_the_crop_of_the_official_code(tmp_path):
    wave = np.concatenate([np.zeros(RATE_HZ), 0.1 * np.sin(np.arange(RATE_HZ))])
    Audio(wave[None].astype(np.float32), RATE_HZ).write(tmp_path / "c.wav")
    clips = Clips([Clip("c", tmp_path / "c.wav", 2.0, RATE_HZ, labels={"song": "real"})])
    spec = system.test().features.override(normalise="fixed", level="keep")
    ((values, _, targets),) = training.crops(clips, "song", spec, 1.0, 8)()
    silent = (values[0].amax(0) < values.max() - 60).float().mean()
    assert float(silent) == pytest.approx(0.22, abs=0.06)  # from 0.75 s on, sound from 1 s
    assert targets.tolist() == [0]


def test_f1_is_that_of_synthetic():
    class Says(torch.nn.Module):
        config = system.test()

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, values, lengths):
            return torch.stack([-values[:, 0, 0], values[:, 0, 0]], 1)

    answers = torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0])[:, None, None].expand(5, 128, 40)
    targets = torch.tensor([1, 0, 1, 0, 0])
    found = training.measured(lambda: [(answers, torch.full((5,), 40), targets)])(Says())
    assert found["f1"] == pytest.approx(0.5)
    assert found["sensitivity"] == pytest.approx(0.5)
    assert found["specificity"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx(0.6)
    right, wrong = np.log1p(np.exp([-2, 2]))  # logits (-1, 1) and (1, -1)
    assert found["loss"] == pytest.approx((3 * right + 2 * wrong) / 5, rel=1e-4)


def test_every_preset_has_a_recipe():
    for preset in registry.presets("spectttra-*"):
        recipe = training.recipe_of(preset.name)
        assert type(recipe).from_json(recipe.to_json()) == recipe
        assert recipe.train.steps > recipe.train.warmup_steps


def test_the_published_recipe():
    recipe = training.recipe_of("spectttra-alpha-5s")
    train = recipe.train
    assert (recipe.smoothing, recipe.mixup, recipe.mixup_chance, recipe.stripe) == (
        0.02,
        2.5,
        0.5,
        8,
    )
    assert (train.optimizer, train.lr, train.weight_decay, train.schedule, train.clip_norm) == (
        "adamw", 8e-4, 0.05, "cosine", 5.0,
    )  # fmt: skip
    assert train.steps == 10 * train.warmup_steps
    assert recipe.stripe_chance == 1.0
    assert training.recipe_of("spectttra-gamma-120s").train.lr == 5e-4
    assert training.recipe_of("spectttra-alpha-120s").batch == 96
    convolutional = training.recipe_of("spectttra-convnext-120s")
    assert (convolutional.batch, convolutional.train.lr) == (40, 5e-4)
    long = training.recipe_of("spectttra-efficientvit-120s")
    assert (long.batch, long.train.lr) == (32, 4e-4)


def test_the_small_presets_are_of_equal_compute():
    names = ("spectttra-mini", "spectttra-vit-mini")
    ours, vit = (registry.preset(name).make() for name in names)
    assert [claims.tokens_of(name) for name in names] == [32, 32]
    assert ours.override(kind="vit") == vit


def test_saved_bytes_are_counted_once_and_without_weights():
    """x -> x W is kept once for both, and the product's sigmoid; not W, not the input."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False), torch.nn.Sigmoid())
    assert claims.saved_bytes(model, torch.randn(4, 8)) == 4 * 8 * 4


@pytest.mark.parametrize(
    ("vit", "convnext", "speed", "alpha"),
    [
        (4.0, 2.0, "shown", "shown"),
        (2.0, 1.5, "not shown", "shown"),
        (2.0, 0.5, "not shown", "not shown"),
    ],
)
def test_the_rules_of_speed(vit, convnext, speed, alpha):
    plan = claims.SCALES["cpu"]
    seconds = {"spectttra-gamma": 1.0, "spectttra-beta": 1.0, "spectttra-alpha": 1.0,
               "spectttra-vit": vit, "spectttra-convnext": convnext}  # fmt: skip
    passes = [
        claims.Pass(name, length, attention, turn, seconds[name] * (1 + 1e-3 * turn * (n == 0)))
        for n, (name, attention) in enumerate(claims.arms())
        for length in ("5s", "120s")
        for turn in range(plan.turns)
    ]
    kept = {
        f"{name}-{length}, {attention}": [1e6 if name in claims.VARIANTS else 5e6] * 3
        for name, attention in claims.arms()
        for length in ("5s", "120s")
    }
    fast = claims.speed_record(passes, plan, "cpu")
    both = claims.alpha_record(passes, kept, plan, "cpu")
    assert (fast.verdict, both.verdict) == (speed, alpha)
    kept["spectttra-vit-120s, fused"] = [5e6, 5e6, 0.9e6]
    both = claims.alpha_record(passes, kept, plan, "cpu")
    assert both.verdict == "not shown"
    for record in (fast, both):
        records.check(records.stamped(record, 1.0), "here")


@pytest.mark.parametrize(("most", "verdict"), [(6e6, "shown"), (5.9e6, "not shown")])
def test_the_rule_of_memory(most, verdict):
    kept = {f"{name}-120s, {attention}": [1e6, 1e6, 1e6] for name, attention in claims.arms()}
    kept["spectttra-convnext-120s, fused"] = [7e6, most, 7e6]
    record = claims.memory_record(kept, claims.SCALES["cpu"], "cpu")
    assert record.verdict == verdict
    records.check(records.stamped(record, 1.0), "here")


@pytest.mark.slow
def test_the_claim_of_f1_runs_whole(tmp_path):
    plan = claims.SCALES["cpu"].override(
        {"pairs": 12, "updates": 6, "batch": 4, "small": "spectttra-test",
         "small_vit": "spectttra-test"}
    )  # fmt: skip
    clips = Clips(sounds(tmp_path)[:12])
    found = claims.detected("codecs", plan, clips, tmp_path / "run", lambda title: silent)
    assert found["pairs"] == 12
    assert len(found["vit"]) == 3
    record = claims.f1_record({"codecs": found}, plan, clips)
    records.check(records.stamped(record, 1.0), "here")
    assert record.verdict == "inconclusive"  # both arms are the same
    assert record.measured[0].value == 0
