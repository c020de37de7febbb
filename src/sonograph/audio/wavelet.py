"""The Haar wavelet: a waveform as bands of half the rate, and back without loss.

Orthonormal: energies add up, white noise stays white of equal deviation.

Shapes: waveform (..., n) -> low, high (..., n / 2); packets (..., bands, n / bands).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.errors import InputError


def haar(x: Float[Tensor, "... n"]) -> tuple[Float[Tensor, "... h"], Float[Tensor, "... h"]]:
    """(low, high): sums and differences of neighbours, over sqrt 2; n is even.

    >>> haar(torch.tensor([1.0, 1.0, 2.0, 0.0]))
    (tensor([1.4142, 1.4142]), tensor([0.0000, 1.4142]))
    """
    if x.shape[-1] % 2:
        raise InputError(f"a Haar transform halves an even length, not {x.shape[-1]}")
    even, odd = x[..., ::2], x[..., 1::2]
    return (even + odd) / math.sqrt(2), (even - odd) / math.sqrt(2)


def inverse_haar(
    low: Float[Tensor, "... h"], high: Float[Tensor, "... h"]
) -> Float[Tensor, "... n"]:
    """What `haar` was given."""
    pairs = torch.stack([low + high, low - high], dim=-1) / math.sqrt(2)
    return pairs.flatten(-2)


def packets(x: Float[Tensor, "... n"], levels: int = 2) -> Float[Tensor, "... bands m"]:
    """The wavelet packet: both halves are split again, 2^levels bands from low to high.

    A high half is mirrored in frequency, so that its own low half is the upper one of the two:
    two levels at 24 kHz give about 0-3, 3-6, 6-9 and 9-12 kHz in this order.

    >>> packets(torch.ones(8)).tolist()
    [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    bands = [x]
    for _ in range(levels):
        split: list[Tensor] = []
        for place, band in enumerate(bands):
            low, high = haar(band)
            split += [low, high] if place % 2 == 0 else [high, low]
        bands = split
    return torch.stack(bands, dim=-2)


def inverse_packets(bands: Float[Tensor, "... bands m"]) -> Float[Tensor, "... n"]:
    """The waveform of its packets; the number of bands is a power of two."""
    parts = list(bands.unbind(dim=-2))
    if len(parts).bit_count() != 1:
        raise InputError(f"wavelet packets come in powers of two, not {len(parts)}")
    while len(parts) > 1:
        pairs = enumerate(zip(parts[::2], parts[1::2]))
        parts = [
            inverse_haar(*(halves if place % 2 == 0 else halves[::-1])) for place, halves in pairs
        ]
    return parts[0]
