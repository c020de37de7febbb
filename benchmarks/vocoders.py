"""HiFi-GAN V1 beside the Hugging Face class, iSTFTNet beside HiFi-GAN, a training step in turns.

The first pairs have the same weights and equal outputs. The next are what the paper is about, at
full size with random weights. The last is one update of a vocoder and its discriminators by the
trainer beside a plain loop with two optimisers that does the same.

    python -m benchmarks.vocoders [SECONDS]
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import Row, alternately, pair, show
from sonograph import registry
from sonograph.infer.vocode import vocoder_of
from sonograph.systems.vocode import istftnet
from sonograph.train.trainer import TrainConfig, Trainer

SYSTEM = "istftnet"
UPDATES = 6


def main(seconds: float = 4.0, repeats: int = 5) -> list[Row]:
    """Rows of inference and of training; AssertionError where outputs are not equal."""
    return [*inference(seconds, repeats), training()]


@torch.inference_mode()
def inference(seconds: float, repeats: int) -> list[Row]:
    from tests.parity.test_hifigan_transformers import theirs_of

    rows = []
    frames = round(seconds * 22050 / 256)
    features = torch.randn(1, 80, frames)
    for name, config, goal in (
        ("HiFi-GAN V1", istftnet.hifigan_v1(), 1.0),
        ("HiFi-GAN V2", istftnet.hifigan_v2(), None),
    ):
        theirs: Any = theirs_of(config).eval()
        theirs.mean.zero_(), theirs.scale.fill_(1.0)
        ours = vocoder_of(istftnet.load_published(theirs.state_dict()))
        error = float((ours(features) - theirs(features.mT)).abs().max())
        assert error < 1e-4, f"outputs differ by {error:.1e}"
        times = alternately(partial(ours, features), partial(theirs, features.mT), repeats)
        row = pair(f"{name}, {seconds:g} s", *times, "transformers SpeechT5HifiGan", goal)
        rows.append(row)
    for ours_name, base, goal in (
        ("istftnet-v1-c8c8i", "hifigan-v1", 1.3),
        ("istftnet-v2-c8c8i", "hifigan-v2", None),
        ("istftnet-v3-c8c8i", "hifigan-v3", None),
    ):
        first, second = (vocoder_of(registry.build(name)) for name in (ours_name, base))
        times = alternately(partial(first, features), partial(second, features), repeats)
        rows.append(pair(f"{ours_name}, {seconds:g} s", *times, base, goal))
    return rows


def training() -> Row:
    """Seconds of an update, each side on its own copy, in turns of UPDATES updates."""
    crop = 0.1 * torch.randn(8, 8192)

    class Same:
        def start_at(self, k: int) -> Any:
            return itertools.repeat({"waveform": crop})

    def model() -> istftnet.Pretraining:
        torch.manual_seed(0)
        return istftnet.Pretraining(registry.build("istftnet-voice"))

    def objective(learner: Any, batch: dict[str, Tensor], generator: torch.Generator) -> Any:
        return learner.turns(batch["waveform"], generator)

    ours, plain = model(), model()
    optimizers = [
        torch.optim.AdamW(part.parameters(), 2e-4, (0.8, 0.99), fused=True)
        for part in (plain.discriminators, plain.vocoder)
    ]

    def loop() -> float:
        began = time.perf_counter()
        for _ in range(UPDATES):
            losses: Any = plain.turns(crop)
            for optimizer in optimizers:
                loss = next(losses)["loss"]
                loss.backward()
                optimizer.step()
                for one in optimizers:
                    one.zero_grad()
            losses.close()
        return (time.perf_counter() - began) / UPDATES

    def trainer(folder: Path) -> float:
        config = TrainConfig(
            steps=UPDATES, lr=2e-4, betas=(0.8, 0.99), schedule="constant", save_every=0
        )
        run = Trainer(ours, objective, Same(), folder, config, turns=istftnet.Pretraining.TURNS)
        return run.run().seconds / UPDATES

    found: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as place:
        for turn in range(4):
            ours_s, theirs_s = trainer(Path(place) / str(turn)), loop()
            if turn:  # the first one warms up
                found[0].append(ours_s)
                found[1].append(theirs_s)
    medians = [sorted(times)[len(times) // 2] for times in found]
    name = "update of istftnet-voice and its discriminators, 8 crops"
    return pair(name, medians[0], medians[1], "plain loop, two optimisers", 1.0)


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
