"""Shards: everything comes back, resume is exact with any workers, corruption is one line."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch

from sonograph.data.shards import ShardBatches, Shards, read_shards, write_shards
from sonograph.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RATE = 8_000


@pytest.fixture
def folder(noises, tmp_path):
    assert write_shards(noises, str(tmp_path / "shards"), shard_size=3) == 4
    return tmp_path / "shards"


def test_clips_and_sound_come_back_unchanged(noises, folder):
    back = read_shards(str(folder))
    assert sorted(clip.id for clip in back) == sorted(clip.id for clip in noises)
    by_id = {clip.id: clip for clip in noises}
    for clip in back:
        before = by_id[clip.id]
        for what in ("labels", "group", "rate_hz", "duration_s"):
            assert getattr(clip, what) == pytest.approx(getattr(before, what))
    stream = Shards(str(folder), RATE, crop_s=None)
    for row in itertools.islice(stream, 12):
        assert np.abs(row["waveform"] - by_id[row["id"]].read()).max() < 1 / 32768


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_resume_is_exact_in_the_middle_of_a_shard(folder, workers):
    def fresh():
        return ShardBatches(str(folder), 2, 0.4, RATE, seed=5, workers=workers)

    batches = fresh()
    stream = iter(batches)
    for _ in range(7):
        next(stream)
    state = pickle.loads(pickle.dumps(batches.state_dict()))
    rest = [next(stream) for _ in range(12)]
    other = fresh()
    other.load_state_dict(state)
    for before, after in zip(rest, iter(other)):
        assert before["ids"] == after["ids"]
        assert torch.equal(before["waveform"], after["waveform"])
        assert torch.equal(before["lengths"], after["lengths"])


@pytest.mark.parametrize("workers", [0, 1])
def test_every_clip_comes_once_an_epoch_in_another_order_each(folder, workers):
    stream = iter(ShardBatches(str(folder), 1, None, RATE, workers=workers))
    ids = [next(stream)["ids"][0] for _ in range(24)]
    assert sorted(ids[:12]) == sorted(ids[12:]) == sorted(f"n{k}" for k in range(12))
    assert ids[:12] != ids[12:]


def test_any_fsspec_path_serves(noises):
    url = "memory://bucket/noise"
    write_shards(noises, url, shard_size=6)
    assert len(read_shards(url)) == 12
    with pytest.raises(InputError, match="already holds shards"):
        write_shards(noises, url)


@pytest.mark.parametrize(("harm", "workers"), [("flip", 0), ("cut", 0), ("gone", 0), ("flip", 1)])
def test_a_corrupt_shard_is_one_line_that_names_it(folder, harm, workers):
    for path in folder.glob("recording.*.tar"):
        content = bytearray(path.read_bytes())
        if harm == "flip":
            content[len(content) // 2] ^= 1
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(content[: len(content) // 2] if harm == "cut" else content)
    with pytest.raises(InputError, match=r"recording\.00000\d\.tar") as caught:
        next(iter(ShardBatches(str(folder), 2, None, RATE, workers=workers)))
    assert "\n" not in str(caught.value)


def test_half_written_and_broken_sets_do_not_open(noises, folder, tmp_path):
    (folder / "shards.json").write_text("{")
    with pytest.raises(InputError, match="broken"):
        read_shards(str(folder))
    (folder / "shards.json").unlink()
    with pytest.raises(InputError, match="holds no shards"):
        read_shards(str(folder))
    noises[5].path.unlink()
    with pytest.raises(InputError, match=r"5\.wav"):
        write_shards(noises, str(tmp_path / "other"))
    assert not (tmp_path / "other/shards.json").exists()


def test_too_many_workers_are_told(folder):
    with pytest.raises(InputError, match="too few for 5 workers"):
        next(iter(ShardBatches(str(folder), 2, None, RATE, workers=5)))
