"""Noise that belongs to a seed and a frame, so that a text sounds the same alone and in a batch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def noise_of(seed: int, shape: tuple[int, int, int]) -> Float[Tensor, "b c t"]:
    """Normal noise that depends on seed, frame and channel, the same in every row.

    Drawn frame by frame in whole groups of 16, the unit of torch's generator, so that a longer
    drawing begins as a shorter one.

    >>> torch.equal(noise_of(1, (1, 3, 9))[..., :5], noise_of(1, (1, 3, 5)))
    True
    """
    rows, channels, frames = shape
    draw = torch.Generator().manual_seed(seed)
    drawn = torch.randn(frames, -(-channels // 16) * 16, generator=draw, device="cpu")
    return drawn[:, :channels].T.expand(rows, -1, -1)
