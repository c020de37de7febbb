"""Batches: the same with any number of workers, from any start, after any kill."""

from __future__ import annotations

import dataclasses
import itertools
import time

import numpy as np
import pytest
import torch

from sonograph.data import loader
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches, Pass
from sonograph.errors import InputError

RATE = 8_000


def take(batches, count):
    return list(itertools.islice(iter(batches), count))


def same(a, b):
    return all(
        x["ids"] == y["ids"]
        and torch.equal(x["waveform"], y["waveform"])
        and torch.equal(x["lengths"], y["lengths"])
        and x["labels"] == y["labels"]
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("draw", ["clips", "seconds", "lengths"])
def test_resumed_after_k_batches_with_other_workers_the_rest_is_bit_equal(noises, draw):
    def fresh(workers):
        return Batches(noises, 5, 1.0, RATE, seed=7, workers=workers, draw=draw)

    whole = take(fresh(0), 9)
    assert same(take(fresh(2), 9), whole)
    for k, workers in ((4, 0), (4, 1), (7, 2)):
        assert same(take(fresh(workers).start_at(k), 9 - k), whole[k:])


def test_waveforms_are_the_files_samples_padded_with_zeros(noises):
    (batch,) = take(Batches(noises, 12, 0.5, RATE), 1)
    assert batch["waveform"].shape == (12, 4000)
    assert batch["waveform"].dtype == torch.float32
    assert batch["lengths"].dtype == torch.int64
    by_id = {clip.id: clip for clip in noises}
    for wave, length, name in zip(batch["waveform"], batch["lengths"].tolist(), batch["ids"]):
        source = by_id[name].read()
        assert length == min(len(source), 4000)
        assert not wave[length:].any()
        windows = np.lib.stride_tricks.sliding_window_view(source, length)
        assert (windows == wave[:length].numpy()).all(1).any(), "a crop of the file"


def test_other_rates_are_resampled(noises):
    (batch,) = take(Batches(noises, 12, 0.5, 16_000), 1)
    assert batch["waveform"].shape == (12, 8000)
    shortest = batch["ids"].index("n0")
    assert batch["lengths"][shortest] == 1600


def test_targets_follow_the_classes_given(noises):
    batch = Batches(noises, 12, 0.5, RATE, task="half", classes=["low", "high", "none"]).batch(0)
    names = [("low", "high")[k] for k in batch["targets"].tolist()]
    assert names == [labels["half"] for labels in batch["labels"]]
    with pytest.raises(InputError, match="not seen in training"):
        Batches(noises, 12, 0.5, RATE, task="half", classes=["low"])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pass_gives_every_clip_once_in_order_and_again(noises, workers):
    once = Pass(noises, 5, crop_s=0.7, rate_hz=RATE, workers=workers, task="parity")
    for _ in range(2):
        batches = list(once)
        assert len(batches) == len(once) == 3
        assert [name for batch in batches for name in batch["ids"]] == [c.id for c in noises]
        assert [batch["waveform"].shape[1] for batch in batches] == [4000, 5600, 5600]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_went_missing_is_one_line_from_any_worker(noises, workers):
    noises[3].path.unlink()
    with pytest.raises(InputError, match=r"3\.wav") as caught:
        take(Batches(noises, 4, 0.5, RATE, workers=workers), 3)
    assert "\n" not in str(caught.value)


def test_a_header_that_lies_about_its_length_gives_what_is_there(noises):
    longer = Clips(
        [dataclasses.replace(clip, duration_s=clip.duration_s + 0.05) for clip in noises[:6]]
    )
    batch = Batches(longer, 6, None, RATE).batch(0)
    assert sorted(batch["lengths"].tolist()) == [800 * k for k in range(1, 7)]


def test_workers_read_ahead_while_the_caller_works(noises, monkeypatch):
    read = loader.read_part

    def slow(clip, draw, rate_hz):
        time.sleep(0.02)
        return read(clip, draw, rate_hz)

    monkeypatch.setattr(loader, "read_part", slow)

    def waiting(workers):
        batches = Batches(noises, 2, 1.0, RATE, workers=workers)
        stream = iter(batches)
        next(stream)  # starting a worker is not waiting for data
        batches.waited_s = 0.0
        began = time.perf_counter()
        for _ in range(8):
            time.sleep(0.1)
            next(stream)
        return batches.waited_s / (time.perf_counter() - began)

    assert waiting(workers=0) > 0.2
    assert waiting(workers=1) < 0.1


def test_arguments_that_cannot_work_are_told(noises):
    with pytest.raises(InputError, match="seconds"):
        Batches(noises, 4, 1.0, RATE, draw="second")
    with pytest.raises(InputError, match="crop_s"):
        Batches(noises, 4, None, RATE, draw="lengths")
    with pytest.raises(InputError, match="no batch -1"):
        Batches(noises, 4, 1.0, RATE).start_at(-1)
    with pytest.raises(InputError, match="no clips"):
        Batches(Clips([]), 4, 1.0, RATE)
