"""Mel-RoFormer beside the bs-roformer package: the same weights, equal outputs and losses.

Forward and training step (objective, gradients) of several sizes, in turns, in one process.

    python -m benchmarks.mel_roformer [SECONDS]
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import Row, alternately, pair, show
from sonograph.systems.separate import mel_roformer

SYSTEM = "mel_roformer"
PEER = "bs_roformer MelBandRoformer"
# name, their sizes, and the ratio to reach
SIZES: tuple[tuple[str, dict[str, int], float], ...] = (
    ("D 64, 2 layers", {"dim": 64, "depth": 2, "heads": 4, "dim_head": 16}, 1.0),
    ("D 192, 2 layers", {"dim": 192, "depth": 2, "heads": 8, "dim_head": 64}, 1.0),
    ("D 384, 1 layer", {"dim": 384, "depth": 1, "heads": 8, "dim_head": 64}, 1.0),
)


def main(seconds: float = 2.0, repeats: int = 5) -> list[Row]:
    """Rows of inference and of training; AssertionError where outputs are not equal."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    from tests.parity.test_bs_roformer import mel_of

    rows = []
    for name, sizes, goal in SIZES:
        theirs: Any = mel_of(**sizes, stereo=True)
        ours = mel_roformer.load_published(theirs.state_dict()).eval()
        mixture = 0.1 * torch.randn(1, 2, round(seconds * 100) * 441)
        rows.append(inference(name, ours, theirs, mixture, repeats, goal))
        rows.append(training(name, ours, theirs, mixture, repeats, goal))
    return rows


@torch.inference_mode()
def inference(name: str, ours: Any, theirs: Any, mixture: Tensor, repeats: int, goal: float) -> Row:
    found, wanted = ours(mixture)[:, 0], theirs(mixture)
    error = float((found - wanted).norm() / wanted.norm())
    assert error < 1e-5, f"outputs differ by {error:.1e}"
    times = alternately(partial(ours, mixture), partial(theirs, mixture), repeats)
    return pair(f"{name}, {_length(mixture)}", *times, PEER, goal)


def training(name: str, ours: Any, theirs: Any, mixture: Tensor, repeats: int, goal: float) -> Row:
    """Objective and gradients; the hops of the loss are those of its newest release."""
    learner = mel_roformer.Pretraining(ours)
    learner.stft.hops = tuple(max(147, window // 4) for window in ours.config.loss_windows)
    wanted = 0.5 * mixture
    batch = {"mixture": mixture, "sources": torch.stack([wanted, mixture - wanted], dim=1)}

    def first() -> float:
        loss = learner(batch)["loss"]
        loss.backward()
        learner.zero_grad()
        return float(loss.detach())

    def second() -> float:
        loss = theirs(mixture, target=wanted)
        loss.backward()
        theirs.zero_grad()
        return float(loss.detach())

    one, other = first(), second()
    assert abs(one / other - 1) < 1e-5, f"losses differ: {one} and {other}"
    times = alternately(first, second, repeats)
    return pair(f"{name}, training step, {_length(mixture)}", *times, PEER, goal)


def _length(mixture: Tensor) -> str:
    return f"{mixture.shape[-1] / 44_100:g} s of stereo"


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
