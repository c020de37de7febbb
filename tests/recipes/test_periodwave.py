"""How PeriodWave is trained and its claims are judged, on made sounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile
import torch

from sonograph import registry, weights
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.nn.discriminators import Critics
from sonograph.recipes.vocode import periodwave as recipe
from sonograph.systems.vocode.periodwave import TURBO, PeriodWave, Sampling, Turbo
from sonograph.train.log import read_log

TINY = recipe.Recipe(batch=2, crop_frames=8, held_out_batches=1).override(
    {
        "train.steps": 3,
        "train.warmup_steps": 1,
        "train.eval_every": 0,
        "train.save_every": 1,
        "train.schedule": "constant",
    }
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    folder = tmp_path_factory.mktemp("sounds")
    time = np.arange(12_000) / 16_000
    for k in range(12):
        soundfile.write(folder / f"{k}.wav", 0.3 * np.sin(2 * np.pi * (150 + 9 * k) * time), 16_000)
    soundfile.write(folder / "silence.wav", np.zeros(20_000), 16_000)
    return Clips.open(folder)


def test_published_recipes():
    for preset in registry.presets("periodwave-*"):
        if preset.make().code_rows:
            with pytest.raises(InputError, match="does not learn by flow matching on waveforms"):
                recipe.recipe_of(preset.name)
            continue
        found = recipe.recipe_of(preset.name)
        assert type(found).from_json(found.to_json()) == found
    base = recipe.recipe_of("periodwave-24k")
    assert (base.batch, base.crop_frames * 256, base.train.lr) == (128, 32_768, 2e-4)
    assert recipe.recipe_of("periodwave-22k").train.steps == 500_000
    with pytest.raises(InputError, match="ssast-test does not learn by flow"):
        recipe.recipe_of("ssast-test")


def test_a_training_goes_on_to_the_same_weights_and_loads(clips, tmp_path):
    """Two runs to the end, one of them in two parts; then Turbo on what came out."""
    first, second = tmp_path / "one", tmp_path / "two"
    recipe.pretrain("periodwave-test", clips, first, TINY)
    recipe.pretrain("periodwave-test", clips, second, TINY.override({"train.steps": 2}))
    recipe.pretrain("periodwave-test", clips, second, TINY)
    assert read_log(second / "training" / "log.jsonl")[-1]["step"] == 3
    states = [weights.read_tensors(folder / "model.safetensors") for folder in (first, second)]
    learned = recipe.registry.build("periodwave-test", seed=0).state_dict()
    assert any(not torch.equal(value, learned[name]) for name, value in states[0].items())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=0)
    vocoder = weights.load(first)
    assert isinstance(vocoder, PeriodWave)
    critics = Critics(periods=(2,), scales=0, width=0.05)
    way = dataclasses.replace(TURBO, steps=(2,))
    short = TINY.override({"train.steps": 1})
    objective = Turbo(vocoder, way, critics, views=())
    recipe.finetune_turbo(objective, clips, tmp_path / "turbo", short)
    turbo = weights.load(tmp_path / "turbo")
    assert turbo.config.sampling == way
    assert any(not torch.equal(v, states[0][n]) for n, v in turbo.state_dict().items())


def test_the_grid_gives_every_model_the_same_draws(clips):
    vocoder = registry.build("periodwave-test")
    batches = recipe.held_out(clips, vocoder, TINY)
    torch.manual_seed(0)
    one = recipe.grid_loss(vocoder, batches)
    torch.manual_seed(1)
    assert recipe.grid_loss(vocoder, batches) == one
    assert recipe.grid_loss(registry.build("periodwave-test", seed=1), batches) != one
    still = recipe.still_loss(vocoder, batches)
    assert still == pytest.approx(
        recipe.still_loss(registry.build("periodwave-test", seed=1), batches)
    )
    assert recipe.grid_loss(vocoder, batches) == one  # it is another's weights that were changed


def test_ways_cost_what_they_say():
    vocoder = registry.build("periodwave-test")
    found = recipe.ways(vocoder, recipe.Scale())
    for name, (_, sampling) in found.items():
        assert name.split(", ")[1] == f"{sampling.evaluations} evaluations"
    assert len(found) == 5 + 4 + 1
    assert found["midpoint, 16 evaluations"][1] == Sampling(steps=(8,))
    assert found["midpoint, 16 evaluations, FreeU"][1].freeu == (1.1, 0.9)


def test_pitch_errors_are_in_cents():
    time = np.arange(16_000) / 16_000
    tone, higher = (np.sin(2 * np.pi * f * time).astype(np.float32) for f in (200, 202))
    cents, f1 = recipe.pitch_errors(higher, tone)
    assert cents == pytest.approx(1200 * np.log2(1.01), abs=0.5)
    assert f1 == 1
    assert recipe.pitch_errors(np.zeros(16_000, np.float32), tone) == (1200.0, 0.0)


def test_clips_are_listened_to_where_there_is_speech(clips):
    plan = recipe.Scale(sounds=3, sound_s=0.5)
    found = recipe.speech(clips, plan)
    assert found.shape == (3, 8000)
    assert bool((found.square().mean(1).sqrt() > 0.1).all())
    with pytest.raises(InputError, match="no 99 held-out clips"):
        recipe.speech(clips, dataclasses.replace(plan, sounds=99))


def test_what_is_nearer_is_judged_so(clips):
    near, far = [1.0, 1.1, 0.9, 1.0], [2.0, 2.2, 1.9, 2.1]
    rows = dict.fromkeys(recipe.WORDS, near)
    held = recipe.Held(
        {"primes": near[:3], "even numbers": far[:3], "one period": [1.0, 1.2, 0.8]},
        {name: [1.0] * 3 for name in (*recipe.PERIODS, recipe.RIVAL)},
        {"a": rows, "b": dict.fromkeys(recipe.WORDS, far)},
        [3.0] * 3,
    )
    plan = recipe.Scale()
    verdicts = [
        recipe.sounds_record(held, plan, ("made",), a, b, "it", "mel", "So.").verdict
        for a, b in (("a", "b"), ("b", "a"))
    ]
    assert verdicts == ["shown", "not shown"]
    record = recipe.loss_record(held, plan, ("made",), "primes", "even numbers", "So.")
    assert record.verdict == "shown"
    assert "(1, 2, 4, 6, 8)" in record.rule
    assert record.measured[0].value == pytest.approx(np.mean(far[:3]) - 1.0)
    other = recipe.loss_record(held, plan, ("made",), "primes", "one period", "So.")
    assert other.verdict == "inconclusive"
