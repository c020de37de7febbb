"""How MossFormer2 is trained and its claim is judged, on made sounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile
import torch

from sonograph import records, registry, weights
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.recipes.separate import mossformer2 as recipe
from sonograph.recipes.separate.training import mixtures_of

TINY = recipe.SHORT.override(
    {"batch": 2, "crop_s": 0.5, "held_out_batches": 1, "train.steps": 1, "train.eval_every": 0}
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    folder = tmp_path_factory.mktemp("sounds")
    time, lines = np.arange(4000) / 8000, ["path,split,speaker"]
    for k in range(60):
        soundfile.write(folder / f"{k}.wav", 0.3 * np.sin(2 * np.pi * (150 + 5 * k) * time), 8000)
        lines.append(f"{k}.wav,{'valid' if k % 5 == 0 else 'train'},voice{k % 4}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return Clips.open(folder / "clips.csv")


def test_every_preset_has_a_recipe():
    for preset in registry.presets("mossformer2*"):
        found = recipe.recipe_of(preset.name)
        assert type(found).from_json(found.to_json()) == found
    large = recipe.recipe_of("mossformer2-l")
    assert (large.batch, large.train.lr, large.train.clip_norm) == (1, 15e-5, 5.0)


def test_a_training_leaves_a_model_that_separates(clips, tmp_path):
    found = recipe.pretrain("mossformer2-test", clips, tmp_path, TINY)
    assert found.steps == 1
    loaded = weights.load(tmp_path)
    before = registry.build("mossformer2-test").state_dict()
    changed = [n for n, v in loaded.state_dict().items() if not torch.equal(v, before[n])]
    assert len(changed) > 10
    assert "inside.net.frequencies.rates" not in changed


def test_an_enhancer_hears_who_speaks_among_what_does_not(clips, tmp_path):
    separator = registry.build("mossformer2-enhancer-test")
    plan = recipe.SHORT.override({"crop_s": 0.2})
    plain = mixtures_of(separator, clips, plan, 0).batch(0)
    assert plain["sources"].shape == (4, 2, 1, 3200)
    spoken = Clips.open(_as_speech(clips, tmp_path))
    both = mixtures_of(separator, spoken, plan, 0)
    assert len(both.speech.sounds) == 30
    assert [len(pool.sounds) for pool, _ in both.noises] == [3, 30]


def _as_speech(clips: Clips, folder):
    """The same clips, half of them with a speaker."""
    rows = [
        dataclasses.replace(clip, speaker="someone" if k % 2 else None)
        for k, clip in enumerate(clips)
    ]
    path = folder / "clips.csv"
    lines = [f"{clip.path},{clip.speaker or ''}" for clip in rows]
    path.write_text("\n".join(["path,speaker", *lines]) + "\n")
    return path


def test_the_arms_of_the_claim_are_as_large_as_each_other():
    for plan in recipe.SCALES.values():
        with torch.device("meta"):
            sizes = [
                recipe.count(recipe.mossformer2.build(plan.arm(name)))
                for name in (recipe.WITH, recipe.WITHOUT)
            ]
        assert abs(sizes[0] / sizes[1] - 1) < recipe.MATCHED
        assert plan.seeds >= 3


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [([2.0, 2.1, 1.9], "shown"), ([-2.0, -2.1, -1.9], "not shown"), ([2.0, -2, 0], "inconclusive")],
)
def test_the_verdict_follows_from_the_seeds(clips, tmp_path, gains, verdict):
    def row(gain: float) -> dict:
        return {
            "si_sdr_improvement": {"mean": gain},
            "oracle mask": {"si_sdr": 12.0},
            "mixture": {"si_sdr": 0.0},
            "step_s": 0.1,
        }

    plan = recipe.Scale(seeds=3)
    rows = {recipe.WITH: [row(5 + g) for g in gains], recipe.WITHOUT: [row(5.0)] * 3}
    sizes = dict.fromkeys(rows, 1000)
    found = recipe.told(plan, clips, rows, sizes, dict.fromkeys(rows, 0.01))
    assert found.verdict == verdict
    assert found.measured[0].value == pytest.approx(sum(gains) / 3)
    written = records.write(records.stamped(found, 1.0), "claim", tmp_path)
    assert records.read(written).arms == (recipe.WITH, recipe.WITHOUT)


def test_arms_of_other_sizes_are_refused(clips, tmp_path):
    with pytest.raises(InputError, match="differ in size"):
        recipe.compared(recipe.Scale(recurrent_width=8), clips, tmp_path)
