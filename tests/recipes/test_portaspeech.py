"""PortaSpeech's recipe: published schedules, a run of two stages that resumes, verdicts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.outputs import Audio
from sonograph.recipes import recipe_module
from sonograph.recipes.speak.acoustic import Learned
from sonograph.recipes.speak.portaspeech import claims, training
from sonograph.systems.speak.portaspeech import Pretraining, Schedule

TEXTS = ("a cat", "dogs run", "one two three", "it is", "we go home now", "so be it", "yes", "no")


@pytest.fixture
def clips(tmp_path, monkeypatch) -> Clips:
    monkeypatch.setenv("SONOGRAPH_DATA", str(tmp_path / "data"))
    made = []
    for k, text in enumerate(TEXTS):
        seconds = 1.0 + 0.05 * k
        time = np.arange(round(seconds * 16000)) / 16000
        path = tmp_path / f"clip{k}.wav"
        wave = 0.3 * np.sin(2 * np.pi * (140 + 9 * k) * time) * (1 + np.sin(9 * time))
        write(path, Audio(wave[None].astype(np.float32) / 2, 16000))
        made.append(Clip(f"clip{k}", path, seconds, 16000, text=text))
    return Clips(made)


def test_every_preset_has_a_recipe():
    for preset in registry.presets("portaspeech-*"):
        recipe = recipe_module(preset.system).recipe_of(preset.name)
        assert type(recipe).from_json(recipe.to_json()) == recipe
        assert recipe.train.steps > recipe.schedule.post_net_from


def test_the_published_recipe():
    normal, small = (training.recipe_of(f"portaspeech-{name}") for name in ("normal", "small"))
    assert (normal.batch, small.batch, normal.frames) == (64, 128, 40_000)
    assert normal.schedule == Schedule(10_000, 160_000, 18_000, 0.5, 1.0, 0.1)
    train = normal.train
    assert (train.lr, train.betas, train.warmup_steps) == (2e-4, (0.9, 0.98), 8000)
    assert train.lr * dict(train.lr_factors)["*post_net*"] == pytest.approx(1e-3)


def test_two_stages_of_one_run_that_goes_on_to_equal_bits(clips, tmp_path, monkeypatch):
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)  # slow, and not ours
    recipe = training.recipe_of("portaspeech-test").override(
        {"batch": 4, "voice_share": 0.5, "train.eval_every": 0}
    )

    def run(name: str, steps: int) -> Learned:
        one = recipe.override({"train.steps": steps})
        assert one.schedule.post_net_from == 2
        return training.train("portaspeech-test", clips, tmp_path / name, one)

    done = run("whole", 4)
    assert done.summary.steps == 4
    assert done.after["loss"] < done.before["loss"]
    assert {"l1", "divergence", "duration", "forward_sum", "binarisation", "post_net"} < set(
        done.after
    )
    run("cut", 3)
    run("cut", 4)
    whole, cut = (
        weights.read_tensors(tmp_path / name / "model.safetensors") for name in ("whole", "cut")
    )
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert int(whole["updates"]) == 4
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    stages = ["post_net" in line for line in log if line["kind"] == "train"]
    assert stages == [False, False, True, True]
    assert isinstance(weights.load(tmp_path / "whole"), Pretraining)
    assert weights.load(tmp_path / "whole" / "voice").describe()["system"] == "portaspeech"


def test_the_schedule_follows_the_number_of_updates():
    mini = training.recipe_of("portaspeech-mini").override({"train.steps": 1000})
    assert (mini.schedule.post_net_from, mini.schedule.divergence_from) == (650, 41)


# --- the claim -----------------------------------------------------------------------------------


def test_fastspeech_2_is_as_large_as_the_paper_counts_it():
    with torch.device("meta"):
        count = sum(p.numel() for p in claims.fastspeech2().parameters())
    assert count / 1e6 == pytest.approx(27.0, rel=0.01)


def test_frames_are_shared_out_evenly():
    text, durations = claims.evenly([5, 6, 7], [0, 0, 1], 100)
    assert durations.tolist() == [[33, 34, 33]]
    assert text.words.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("distances", "error", "verdict"),
    [
        ((0.2, 0.25, 0.22), 1.1, "shown"),
        ((0.2, 0.25, 0.22), 1.6, "not shown"),  # detail that costs too much
        ((1.2, 1.25, 1.22), 1.1, "not shown"),
        ((0.1, 1.9, 0.9), 1.1, "inconclusive"),
    ],
)
def test_detail_is_judged_by_the_rule(distances, error, verdict):
    plain = {"detail": [0.4] * 3, "variance": [0.5] * 3, "error": [1.0] * 3}
    scores = {
        claims.OTHER: plain | {"distance": [0.9, 0.95, 0.92]},
        claims.WITH: plain | {"distance": list(distances), "error": [error] * 3},
        claims.WITHOUT: plain | {"distance": [1.0] * 3},
    }
    record = claims.detail_record(scores, claims.Scale(), ("x",), claims.OTHER, claims.WITH)
    assert record.verdict == verdict


@pytest.mark.parametrize(
    ("memory", "weights_of_small", "verdict"),
    [
        ((300, 310, 305), 6.8e6, "shown"),
        ((300, 310, 305), 9e6, "not shown"),
        ((150, 151, 152), 6.8e6, "not shown"),
        ((120, 310, 500), 6.8e6, "inconclusive"),
    ],
)
def test_size_is_judged_by_the_rule(memory, weights_of_small, verdict):
    found = {
        name: {"weights": [27e6] * 3, "seconds": [0.5] * 3, "bytes": list(memory)}
        for name in claims.TIMED
    }
    found["small"] = {"weights": [weights_of_small] * 3, "seconds": [0.2] * 3, "bytes": [100] * 3}
    assert claims.size_record(found, claims.Scale(), ("x",)).verdict == verdict
