"""Shards: everything comes back, resume is exact with any workers, corruption is one line."""

from __future__ import annotations

import itertools
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from sonograph.data.shards import ShardBatches, Shards, read_shards, write_shards
from sonograph.errors import InputError
from sonograph.train.log import read_log
from sonograph.weights import read_tensors
from tests.e2e.commands import environment

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


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("k", [0, 1, 2, 7, 13])
def test_batches_from_a_number_on_are_those_of_a_straight_run(folder, workers, k):
    """Also beyond the first epoch, and where workers come to its end at different times."""
    batches = ShardBatches(str(folder), 2, 0.4, RATE, seed=5, workers=workers)
    straight = list(itertools.islice(batches, k + 5))[k:]
    for before, after in zip(straight, itertools.islice(batches.start_at(k), 5), strict=True):
        assert before["ids"] == after["ids"]
        assert torch.equal(before["waveform"], after["waveform"])


def test_there_is_no_batch_before_the_first(folder):
    with pytest.raises(InputError, match="no batch -1"):
        ShardBatches(str(folder), 2, None, RATE).start_at(-1)


def test_a_state_of_batches_from_a_number_on(folder):
    """A run that went on by number is stopped and goes on by its state."""
    batches = ShardBatches(str(folder), 2, None, RATE, workers=2).start_at(3)
    stream = iter(batches)
    next(stream)
    state = batches.state_dict()
    rest = [next(stream)["ids"] for _ in range(6)]
    stream.close()
    other = ShardBatches(str(folder), 2, None, RATE, workers=2).start_at(3)
    other.load_state_dict(state)
    assert [batch["ids"] for batch in itertools.islice(other, 6)] == rest


@pytest.mark.parametrize("workers", [0, 1])
def test_every_clip_comes_once_an_epoch_in_another_order_each(folder, workers):
    stream = iter(ShardBatches(str(folder), 1, None, RATE, workers=workers))
    ids = [next(stream)["ids"][0] for _ in range(24)]
    assert sorted(ids[:12]) == sorted(ids[12:]) == sorted(f"n{k}" for k in range(12))
    assert ids[:12] != ids[12:]


@pytest.mark.parametrize("kind", ["memory", "file"])
@pytest.mark.parametrize("workers", [0, 2])
def test_any_fsspec_path_serves(noises, folder, tmp_path, kind, workers):
    url = f"memory://bucket/noise{workers}" if kind == "memory" else f"file://{tmp_path}/other"
    assert write_shards(noises, url, shard_size=3) == 4
    assert len(read_shards(url)) == 12
    here = ShardBatches(str(folder), 2, 0.4, RATE, workers=workers)
    there = ShardBatches(url, 2, 0.4, RATE, workers=workers)
    for one, other in zip(itertools.islice(here, 7), itertools.islice(there, 7), strict=True):
        assert one["ids"] == other["ids"]
        assert torch.equal(one["waveform"], other["waveform"])
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


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_processes_read_every_clip_once_an_epoch(noises, tmp_path, workers):
    """Each its own shards; the sizes of their parts add up to the batch's."""
    write_shards(noises, str(tmp_path / "many"), shard_size=1)
    batches = ShardBatches(str(tmp_path / "many"), 2, None, RATE, workers=workers)
    streams = [iter(batches.part(number, 2)) for number in range(2)]
    for _ in range(2):
        read = [next(stream)["ids"] for stream in streams for _ in range(6)]
        assert sorted(name for (name,) in read) == sorted(clip.id for clip in noises)
    for stream in streams:
        stream.close()
    uneven = ShardBatches(str(tmp_path / "many"), 4, None, RATE)
    sizes = [len(next(iter(uneven.part(number, 3)))["ids"]) for number in range(3)]
    assert sorted(sizes) == [1, 1, 2]


def test_a_process_opens_no_shard_of_another(folder):
    """The shards that it does not read may be missing on its machine."""

    class Watched(Shards):
        def read(self, shard):
            opened.append(shard)
            return super().read(shard)

    read = []
    for number in range(2):
        opened: list[int] = []
        for _ in zip(range(6), Watched(str(folder), RATE, None, share=(number, 2))):
            pass
        read.append(opened)
    assert sorted(read[0] + read[1]) == [0, 1, 2, 3]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("number", [0, 1])
def test_each_process_goes_on_where_it_was(folder, workers, number):
    """By the number of a batch and by a state, with workers in the middle of shards."""
    whole = ShardBatches(str(folder), 4, 0.4, RATE, seed=5, workers=workers)
    mine = whole.part(number, 2)
    stream = iter(mine)
    for _ in range(5):
        next(stream)
    state = pickle.loads(pickle.dumps(mine.state_dict()))
    rest = [next(stream) for _ in range(6)]
    stream.close()
    other = whole.part(number, 2)
    other.load_state_dict(state)
    for again in (other, mine.start_at(5)):
        for before, after in zip(rest, itertools.islice(again, 6), strict=True):
            assert before["ids"] == after["ids"]
            assert torch.equal(before["waveform"], after["waveform"])


def test_too_many_processes_are_told(folder):
    with pytest.raises(InputError, match="a batch of 2 clips for 3 processes"):
        ShardBatches(str(folder), 2, None, RATE).part(0, 3)
    with pytest.raises(InputError, match="too few for 2 workers in each of 3 processes"):
        next(iter(ShardBatches(str(folder), 3, None, RATE, workers=2).part(0, 3)))


TRAINING = """
import sys
import torch
from sonograph.data.shards import ShardBatches
from sonograph.train.config import TrainConfig
from sonograph.train.trainer import Trainer

def loss(model, batch, generator):
    noise = torch.randn(batch["waveform"].shape, generator=generator)
    said = model(batch["waveform"] + 0.1 * noise)
    return {"loss": (said - batch["lengths"][:, None]).abs().mean()}

if __name__ == "__main__":
    torch.manual_seed(0)
    shards, folder, workers, steps = sys.argv[1:]
    batches = ShardBatches(shards, 2, 0.1, 8000, workers=int(workers))
    config = TrainConfig(steps=int(steps), lr=1e-3, warmup_steps=0, save_every=4, log_every=1)
    Trainer(torch.nn.Linear(800, 1), loss, batches, folder, config).run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_training_on_shards_that_is_killed_ends_in_equal_weights(folder, tmp_path, workers):
    """SIGKILL of the trainer at two moments, its workers in the middle of shards."""
    script = tmp_path / "training.py"
    script.write_text(TRAINING)

    def start(name: str) -> subprocess.Popen:
        words = [str(folder), str(tmp_path / name), str(workers), "60"]
        return subprocess.Popen([sys.executable, str(script), *words], env=environment())

    assert start("straight").wait(timeout=120) == 0
    for until in (9, 30):
        process = start("killed")
        while process.poll() is None and _steps(tmp_path / "killed") < until:
            time.sleep(0.01)
        process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL
        assert until <= _steps(tmp_path / "killed") < 60
    assert start("killed").wait(timeout=120) == 0
    one, other = (
        read_tensors(tmp_path / name / "model.safetensors") for name in ("straight", "killed")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def _steps(run) -> int:
    return max((line["step"] for line in read_log(run / "log.jsonl")), default=0)
