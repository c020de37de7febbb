"""Does reading data starve training? The share of a step spent waiting for the next batch.

Trains an SSAST preset for some steps on a folder of real sounds, with batches read ahead by worker
processes and, for comparison, read when they are asked for. Goal: waiting < 5 % with workers.

    python benchmarks/data_waiting.py sonograph-data --preset ssast-demo --steps 60 --workers 1
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonograph import registry
from sonograph.audio.feature_spec import Frontend
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches
from sonograph.systems.represent.ssast import Pretraining
from sonograph.train.trainer import TrainConfig, Trainer

GOAL = 0.05


def measure(
    clips: Clips,
    preset: str = "ssast-demo",
    steps: int = 60,
    workers: int = 1,
    batch_size: int = 16,
    warm: int = 10,
) -> dict[str, Any]:
    """Waiting share and clips per second over `steps` updates after `warm` updates of warm-up."""
    encoder = registry.build(preset)
    spec = encoder.spec
    crop_s = spec.samples(encoder.config.frames) / spec.rate_hz
    frontend = Frontend(spec)

    def objective(model: nn.Module, batch: Any, generator: torch.Generator) -> dict:
        with torch.no_grad():
            features = frontend(batch["waveform"], batch["lengths"])
        return model(features.values, features.lengths, generator)

    batches = Batches(clips, batch_size, crop_s, spec.rate_hz, workers=workers, draw="seconds")
    config = TrainConfig(steps=warm + steps, log_every=warm, save_every=0, lr=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(Pretraining(encoder), objective, batches, folder, config).run()
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    counted = [line for line in lines if line["step"] > warm]
    # Lines cover the same number of clips, so that seconds add up as clips / speed.
    seconds = [1 / line["clips_per_s"] for line in counted]
    waiting = sum(line["waiting"] * took for line, took in zip(counted, seconds)) / sum(seconds)
    return {
        "workers": workers,
        "waiting_share": round(waiting, 4),
        "clips_per_s": round(len(seconds) / sum(seconds), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="sounds: any folder that Clips.open can open")
    parser.add_argument("--preset", default="ssast-demo")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    clips = Clips.open(given.folder)
    sides = [measure(clips, given.preset, given.steps, n) for n in (given.workers, 0)]
    result = {
        "benchmark": "data_waiting",
        "preset": given.preset,
        "clips": len(clips),
        "sides": sides,
        "goal": GOAL,
        "reached": sides[0]["waiting_share"] < GOAL,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
