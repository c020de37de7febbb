"""One training on one process and on two: speed, waiting, memory, and what a checkpoint costs.

The batch is the same everywhere. Two processes have a thread each; beside them stand one process
with one thread, and one with two. Efficiency is of twice the speed of one process with one thread.
Sound is noise in FLAC, decoded as it is asked for by a worker of each process. A checkpoint is all
that a run goes on from: weights, optimizer state, and the weights to use.

    python -m benchmarks.processes [PRESET] [STEPS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import Row, figure, show

SYSTEM = "sonograph"
BATCH = 16
WARM = 4
CLIPS, CLIP_S, RATE_HZ = 64, 4.0, 16_000
# name, processes, threads of each, what they have
ARMS = (
    ("1 process, 1 thread", 1, 1, "replicate"),
    ("1 process, 2 threads", 1, 2, "replicate"),
    ("2 processes, replicate", 2, 1, "replicate"),
    ("2 processes, shard", 2, 1, "shard"),
)


def main(preset: str = "ssast-mini", steps: int = 40) -> list[Row]:
    """Each arm in a folder of its own, one after the other."""
    rows = []
    speeds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        write_noise(folder / "sounds")
        for name, processes, threads, parallel in ARMS:
            told = trained(
                folder, name.replace(", ", "-"), preset, steps, processes, threads, parallel
            )
            speeds[name] = told[0]["clips_per_s"]
            what = f"{preset}, {name}"
            rows.append(figure(f"{what}", speeds[name], "clips a second"))
            if processes > 1:
                share = speeds[name] / (processes * speeds[ARMS[0][0]])
                rows.append(figure(f"{what}, efficiency", 100 * share, "%"))
            waiting = max(one["waiting"] for one in told)
            rows += [
                figure(f"{what}, waiting for data", 100 * waiting, "%"),
                figure(f"{what}, peak memory a process", max(t["peak"] for t in told) / 1e6, "MB"),
                figure(f"{what}, checkpoint", told[0]["bytes"] / 1e6, "MB"),
                figure(f"{what}, to save it", max(one["save_s"] for one in told), "s"),
                figure(f"{what}, to load it", max(one["load_s"] for one in told), "s"),
            ]
    return rows


def write_noise(folder: Path) -> None:
    import soundfile

    folder.mkdir()
    for k in range(CLIPS):
        samples = np.random.default_rng(k).uniform(-0.3, 0.3, round(CLIP_S * RATE_HZ))
        soundfile.write(folder / f"{k}.flac", samples, RATE_HZ)


def trained(
    folder: Path, name: str, preset: str, steps: int, processes: int, threads: int, parallel: str
) -> list[dict[str, Any]]:
    """What each process told of a training under torchrun, and of going on from its end."""
    run = folder / name
    words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    words += ["-m", "benchmarks.processes", "part", str(folder / "sounds"), str(run), preset]
    done = subprocess.run(
        [sys.executable, *words, str(steps), parallel],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "TORCH_CPP_LOG_LEVEL": "ERROR"},
    )
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")
    return [json.loads((run / f"told-{rank}.json").read_text()) for rank in range(processes)]


def part(sounds: str, run: str, preset: str, steps: str, parallel: str) -> None:
    """One of the processes: trains, then begins anew on the same folder to load its state."""
    import torch

    from sonograph import registry
    from sonograph.data.clips import Clips
    from sonograph.data.loader import Batches
    from sonograph.recipes.pretraining import Objective
    from sonograph.systems.represent.ssast import Pretraining
    from sonograph.train.config import TrainConfig
    from sonograph.train.trainer import Trainer

    class Timed(Trainer):
        """Knows how long its state took to save and to load."""

        save_s = load_s = 0.0

        def _save(self) -> None:
            began = time.perf_counter()
            super()._save()
            self.save_s = self.save_s or time.perf_counter() - began

        def _resume(self, state: Path) -> None:
            began = time.perf_counter()
            super()._resume(state)
            self.load_s = time.perf_counter() - began

    folder, count = Path(run), int(steps)

    def trainer() -> Timed:
        model = Pretraining(registry.build(preset))
        spec = model.spec
        crop_s = spec.samples(model.encoder.config.frames) / spec.rate_hz
        clips = Clips.open(Path(sounds))
        batches = Batches(clips, BATCH, crop_s, spec.rate_hz, workers=1, draw="clips")
        config = TrainConfig(
            steps=WARM + count, lr=1e-4, log_every=WARM, save_every=0, device="cpu",
            parallel="shard" if parallel == "shard" else "replicate",
        )  # fmt: skip
        return Timed(model, Objective(model), batches, folder, config)

    first = trainer()
    summary = first.run()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    # Lines cover the same number of clips, so that seconds add up as clips / speed.
    seconds = [1 / line["clips_per_s"] for line in lines if line["step"] > WARM]
    again = trainer()
    again.run()
    rank = int(os.environ["RANK"])
    told = {
        "clips_per_s": len(seconds) / sum(seconds),
        "waiting": summary.waiting_share,
        "peak": summary.peak_memory,
        "bytes": sum(p.stat().st_size for p in folder.rglob("*.safetensors")),
        "save_s": first.save_s,
        "load_s": again.load_s,
    }
    (folder / f"told-{rank}.json").write_text(json.dumps(told))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    if sys.argv[1:2] == ["part"]:
        part(*sys.argv[2:])
    else:
        show(main((sys.argv[1:2] or ["ssast-mini"])[0], int((sys.argv[2:3] or ["40"])[0])))
