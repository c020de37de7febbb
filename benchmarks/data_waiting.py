"""Does reading data starve training? The share of a step spent waiting for the next batch.

Trains an SSAST preset for some steps on a folder of real sounds, with batches read ahead by worker
processes and, for comparison, read when they are asked for. Goal: waiting < 5 % with workers.

    python -m benchmarks.data_waiting [FOLDER]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.timing import figure, show
from sonograph import registry
from sonograph.audio.feature_spec import Frontend
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches
from sonograph.systems.represent.ssast import Pretraining
from sonograph.train.trainer import TrainConfig, Trainer

SYSTEM = "sonograph"
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


def main(folder: str = "", preset: str = "ssast-demo", steps: int = 60) -> list[dict[str, Any]]:
    """Share of waiting with one worker and with none; the fetched set `mini` if no folder."""
    from sonograph.data.corpora import open_sets

    clips = Clips.open(Path(folder)) if folder else open_sets(["mini"])
    rows = []
    for workers in (1, 0):
        found = measure(clips, preset, steps, workers)
        words = f"{preset}, {workers or 'no'} worker"
        share = figure(f"waiting for data, {words}", 100 * found["waiting_share"], "%")
        rows.append(share | {"at_most": 100 * GOAL} if workers else share)
        rows.append(figure(f"clips a second, {words}", found["clips_per_s"], ""))
    return rows


if __name__ == "__main__":
    show(main(sys.argv[1] if sys.argv[1:] else ""))
