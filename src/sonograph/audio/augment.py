"""Changes that make more of a batch of features in training: stripes and mixtures.

All draws come from the generator that is given, on the CPU.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.errors import InputError


def striped(
    values: Float[Tensor, "b *shape"],
    axis: int,
    count: int,
    width: int,
    generator: torch.Generator,
    fill: float = 0.0,
) -> Float[Tensor, "b *shape"]:
    """Each clip with `count` stripes of its own along an axis set to `fill` (SpecAugment).

    A stripe is 0 to width - 1 wide, no wider than the axis, and lies anywhere on it. Park et al.
    2019; as PANNs and SpecTTTra draw them.

    >>> made = striped(torch.ones(4, 8), 1, 1, 5, torch.Generator().manual_seed(0))
    >>> (made == 0).sum(1).tolist()
    [4, 4, 3, 0]
    """
    if not 0 < axis < values.ndim:
        raise InputError(f"stripes lie along an axis from 1 to {values.ndim - 1}, not {axis}")
    if count < 0 or width < 1:
        raise InputError(f"{count} stripes below a width of {width}: give 0 and 1 or more")
    batch, size = values.shape[0], values.shape[axis]
    widths = torch.randint(0, min(width, size + 1), (batch, count), generator=generator)
    places = torch.rand(batch, count, generator=generator)
    starts = (places * (size - widths + 1)).long().minimum(size - widths)
    at = torch.arange(size)
    covered = (at >= starts[..., None]) & (at < (starts + widths)[..., None])
    shape = [batch, *[1] * (values.ndim - 1)]
    shape[axis] = size
    return values.masked_fill(covered.any(1).reshape(shape).to(values.device), fill)


def mixing_shares(count: int, alpha: float, generator: torch.Generator) -> Float[Tensor, "count"]:
    """Shares of the first of two clips in a mixture: Beta(alpha, alpha), Zhang et al. 2018."""
    if alpha <= 0:
        raise InputError(f"alpha of a mixture is {alpha}: give more than 0")
    seed = int(torch.randint(2**62, (), generator=generator))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, count)
    return torch.from_numpy(drawn).float()


def mixed_pairs(
    values: Float[Tensor, "b *shape"], shares: Float[Tensor, "half"]
) -> Float[Tensor, "half *shape"]:
    """Clips 0 and 1, 2 and 3, ... as one: share x even + (1 - share) x odd (PANNs).

    Give targets the same shares. Raises InputError for an odd number of clips.

    >>> mixed_pairs(torch.tensor([1.0, 3.0]), torch.tensor([0.25])).tolist()
    [2.5]
    """
    if len(values) != 2 * len(shares):
        raise InputError(f"{len(shares)} shares for {len(values)} clips: two clips a share")
    return _mixed(values[0::2], values[1::2], shares)


def mixed_neighbours(
    values: Float[Tensor, "b *shape"], shares: Float[Tensor, "..."]
) -> Float[Tensor, "b *shape"]:
    """Every clip with the one before it in the batch, the first with the last (batch roll).

    shares: one for the batch, or one a clip. SONICS: one, alpha = 2.5.

    >>> mixed_neighbours(torch.tensor([1.0, 3.0]), torch.tensor(0.75)).tolist()
    [1.5, 2.5]
    """
    return _mixed(values, values.roll(1, 0), shares.expand(len(values)))


def _mixed(first: Tensor, second: Tensor, shares: Tensor) -> Tensor:
    share = shares.to(first).reshape(-1, *[1] * (first.ndim - 1))
    return first * share + second * (1 - share)
