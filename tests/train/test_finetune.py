from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from sonograph import registry, weights
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.train.finetune import (
    Examples,
    Finetune,
    Shuffled,
    Teach,
    examples_of,
    finetune,
    measure,
)
from sonograph.train.log import read_log
from sonograph.train.trainer import TrainConfig

QUICK = Finetune(
    batch=4, train=TrainConfig(steps=4, lr=1e-3, schedule="constant", save_every=0, clip_norm=1.0)
)


@pytest.fixture
def examples() -> Examples:
    """Twelve made spectrograms of two classes that differ in level."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(12) % 2
    features = torch.randn(12, 128, 64, generator=generator) + targets[:, None, None]
    ids = tuple(f"e{n}" for n in range(12))
    return Examples(features, torch.full((12,), 64), targets, ("low", "high"), ids)


def test_every_example_comes_once_an_epoch_and_batch_k_is_a_function_of_k(examples):
    stream = list(itertools.islice(iter(Shuffled(examples, 5, seed=1)), 12))
    seen = torch.cat([batch["features"] for batch in stream])
    for epoch in range(5):
        ours = seen[12 * epoch : 12 * epoch + 12].flatten(1).sum(1).sort().values
        torch.testing.assert_close(ours, examples.features.flatten(1).sum(1).sort().values)
    later = next(iter(Shuffled(examples, 5, seed=1).start_at(7)))
    assert torch.equal(later["features"], stream[7]["features"])
    other = next(iter(Shuffled(examples, 5, seed=2)))
    assert not torch.equal(other["features"], stream[0]["features"])


def test_without_examples_there_is_nothing_to_learn(examples):
    with pytest.raises(InputError, match="no labelled clips to train on"):
        Shuffled(examples.take([]), 4, 0)


@pytest.mark.parametrize("method", ["full", "lora", "svfit", "linear", "norms", "bitfit"])
def test_what_was_taught_loads_and_answers_the_same(examples, tmp_path, method):
    config = dataclasses.replace(QUICK, method=method)
    done = finetune(registry.build("ssast-test"), examples, examples, tmp_path, config)
    loaded = weights.load(tmp_path)
    assert loaded.labels == ("low", "high")
    assert torch.equal(measure(loaded, examples).scores, done.measured.scores)
    assert loaded.card["test_accuracy"] == done.measured.accuracy
    frozen = done.trained_parameters < done.total_parameters
    assert frozen == (method != "full")
    start = registry.build("ssast-test").blocks[0].attention.qkv.weight
    kept = torch.equal(loaded.encoder.blocks[0].attention.qkv.weight, start)
    assert kept == (method not in ("full", "lora", "svfit"))


def test_stopped_and_gone_on_equals_uninterrupted(examples, tmp_path):
    def teach(name: str, steps: int) -> dict[str, torch.Tensor]:
        config = QUICK.override({"train.steps": steps})
        finetune(registry.build("ssast-test"), examples, None, tmp_path / name, config)
        return weights.read_tensors(tmp_path / name / "model.safetensors")

    whole = teach("whole", 5)
    teach("cut", 2)
    gone_on = teach("cut", 5)
    assert all(torch.equal(whole[name], gone_on[name]) for name in whole)


def test_two_levels_are_told_apart(examples, tmp_path):
    config = QUICK.override({"train.steps": 60})
    done = finetune(registry.build("ssast-test"), examples, examples, tmp_path, config)
    assert done.measured.accuracy == 1
    assert done.measured.confusion.tolist() == [[6, 0], [0, 6]]


def test_the_disturbance_is_one_offset_a_clip_and_one_shift_a_batch(examples):
    seen = []

    def model(features, lengths):
        seen.append(features)
        return torch.zeros(len(features), 2)

    batch = {"features": examples.features, "lengths": examples.lengths}
    batch["targets"] = examples.targets
    Teach(QUICK)(model, batch, torch.Generator().manual_seed(0))
    shifts = [
        shift
        for shift in range(-10, 11)
        if (seen[0] - examples.features.roll(shift, 2)).std((1, 2)).max() < 1e-5
    ]
    assert len(shifts) == 1
    offset = (seen[0] - examples.features.roll(shifts[0], 2)).mean((1, 2))
    assert 0.02 < offset.std() < 0.3
    Teach(dataclasses.replace(QUICK, noise=0.0, roll_frames=0))(
        model, batch, torch.Generator().manual_seed(0)
    )
    assert torch.equal(seen[1], examples.features)


def test_examples_are_cut_and_filled_to_one_length(tmp_path):
    import numpy as np
    import soundfile

    clips = []
    for k, seconds in enumerate((0.001, 0.3, 2.0)):
        sound = np.random.default_rng(k).uniform(-0.5, 0.5, int(seconds * 16_000))
        soundfile.write(tmp_path / f"{k}.wav", sound, 16_000)
        clips.append(Clip(f"{k}", tmp_path / f"{k}.wav", seconds, 16_000, labels={"x": f"c{k}"}))
    spec = registry.build("ssast-test").spec
    made = examples_of(Clips(clips), "x", spec, 64)
    assert made.features.shape == (3, 128, 64)
    assert made.lengths.tolist() == [1, spec.frames(4800), 64]
    alone = examples_of(Clips(clips[1:2]), "x", spec, 64, ["c0", "c1", "c2"])
    torch.testing.assert_close(alone.features[0], made.features[1], atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="'c2', which is none of the 2 classes"):
        examples_of(Clips(clips), "x", spec, 64, ["c0", "c1"])


@pytest.mark.parametrize("method", ["linear", "lora"])
def test_watching_logs_the_held_out_accuracy_and_changes_nothing(examples, tmp_path, method):
    config = dataclasses.replace(QUICK, method=method)
    plain = finetune(registry.build("ssast-test"), examples, examples, tmp_path / "a", config)
    assert not any(e["kind"] == "valid" for e in read_log(tmp_path / "a/training/log.jsonl"))
    config = config.override({"train.eval_every": 2})
    done = finetune(registry.build("ssast-test"), examples, examples, tmp_path / "b", config)
    log = [e for e in read_log(tmp_path / "b/training/log.jsonl") if e["kind"] == "valid"]
    assert [line["step"] for line in log] == [2, 4]
    assert log[-1]["accuracy"] == pytest.approx(done.measured.accuracy)
    assert torch.equal(done.measured.scores, plain.measured.scores)
