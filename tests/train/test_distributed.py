"""Two gloo processes under torchrun against one process with the same global batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sonograph.errors import InputError
from sonograph.train import checkpoint
from sonograph.train.distributed import batch_length, slice_batch
from sonograph.train.log import read_log
from sonograph.train.trainer import TrainConfig
from tests.train import tiny

CONFIG = TrainConfig(
    steps=8, lr=1e-2, accumulate=2, clip_norm=1.0, ema_decay=0.9, eval_every=4, log_every=1,
    device="cpu",
)  # fmt: skip
OPTIONS = {"noise": "no", "size": 7}  # 7 clips: slices of 3 and 4


def start(folder: Path, config: TrainConfig, processes: int = 2, **options) -> subprocess.Popen:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    program = [tiny.__file__, str(folder), json.dumps(config.to_dict())]
    return subprocess.Popen(
        [sys.executable, *launcher, *program, json.dumps(OPTIONS | options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-3000:]
    return out


def alone(folder: Path, config: TrainConfig = CONFIG, **options) -> None:
    assert tiny.main(str(folder), json.dumps(config.to_dict()), json.dumps(OPTIONS | options)) == 0


def assert_close(one: Path, two: Path) -> None:
    first, second = load_file(one), load_file(two)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=1e-6, msg=f"{two} {name}")


def computed(folder: Path, kind: str) -> list[float]:
    return [line["loss"] for line in read_log(folder / "log.jsonl") if line["kind"] == kind]


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """One process, the whole batch."""
    folder = tmp_path_factory.mktemp("alone")
    process = subprocess.run(
        [
            sys.executable, tiny.__file__, str(folder), json.dumps(CONFIG.to_dict()),
            json.dumps(OPTIONS | {"gradients": str(folder / "gradients.safetensors")}),
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    return folder


@pytest.mark.parametrize("parallel", ["replicate", pytest.param("shard", marks=pytest.mark.slow)])
def test_two_processes_equal_one(tmp_path, reference, parallel):
    config = CONFIG.override(parallel=parallel)
    file = str(tmp_path / "gradients.safetensors")
    finish(start(tmp_path, config, gradients=file))
    for name in ("gradients.safetensors", "model.safetensors", "last.safetensors"):
        assert_close(reference / name, tmp_path / name)
    states = [checkpoint.newest_state(folder / "state") for folder in (reference, tmp_path)]
    for name in ("model", "optimizer", "average"):
        assert_close(states[0] / f"{name}.safetensors", states[1] / f"{name}.safetensors")
    for kind in ("train", "valid"):
        expected = computed(reference, kind)
        assert computed(tmp_path, kind) == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["replicate", "shard"])
def test_interrupted_and_resumed(tmp_path, reference, parallel):
    """SIGTERM to one of two processes stops both after one step; resumed, all is as if never."""
    config = CONFIG.override(parallel=parallel)
    process = start(tmp_path, config, pause=0.3)
    while len(read_log(tmp_path / "log.jsonl")) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    step = checkpoint.read_values(checkpoint.newest_state(tmp_path / "state"))["step"]
    assert 3 <= step < 8
    assert f"stopped after step {step} of 8" in out  # of one; torchrun may then end the other
    finish(start(tmp_path, config))
    for name in ("model.safetensors", "last.safetensors"):
        assert_close(reference / name, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("shards_first", [True, False])
def test_a_run_moves_between_shards_and_one_process(tmp_path, shards_first):
    short = CONFIG.override(schedule="constant", steps=4)
    long = short.override(steps=8)
    if shards_first:
        finish(start(tmp_path / "moved", short.override(parallel="shard")))
        alone(tmp_path / "moved", long)
    else:
        alone(tmp_path / "moved", short)
        finish(start(tmp_path / "moved", long.override(parallel="shard")))
    alone(tmp_path / "whole", long)
    assert_close(tmp_path / "whole" / "last.safetensors", tmp_path / "moved" / "last.safetensors")


def test_slices_cover_the_batch_once():
    batch = {
        "ids": list("abcdefg"),
        "x": torch.arange(7),
        "labels": {"task": torch.arange(14).reshape(7, 2)},
        "rate": 16000,
        "window": torch.ones(3),
    }
    assert batch_length(batch) == 7
    parts = [slice_batch(batch, rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([p["x"] for p in parts]), batch["x"])
    assert [i for p in parts for i in p["ids"]] == batch["ids"]
    labels = torch.cat([p["labels"]["task"] for p in parts])
    assert torch.equal(labels, batch["labels"]["task"])
    assert all(p["rate"] == 16000 and p["window"].shape == (3,) for p in parts)
    assert {batch_length(p) for p in parts} == {2, 3}
    with pytest.raises(InputError, match="larger batch"):
        slice_batch(batch, 0, 8)
