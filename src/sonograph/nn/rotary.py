"""Rotary positions: queries and keys are turned by an angle that grows with their place."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rotary_rates(d: int, base: float = 10_000.0) -> Float[Tensor, "half"]:
    """base^(-2j / d): radians that pair j of d numbers is turned by from one place to the next."""
    if d % 2:
        raise ValueError(f"rotary positions turn pairs: {d} numbers a head are odd")
    return base ** (-torch.arange(0, d, 2).float() / d)


def rotated(x: Float[Tensor, "*batch n d"], base: float = 10_000.0) -> Float[Tensor, "*batch n d"]:
    """Pairs of neighbouring numbers (2j, 2j + 1) turned by place * base^(-2j / d), d even.

    The product of two such vectors depends on the distance of their places alone. Su et al. 2021,
    equation 34. The angles are float32 whatever the type of x.

    >>> rotated(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """
    n, d = x.shape[-2:]
    places = torch.arange(n, device=x.device).float()
    return turned(x, places[:, None] * rotary_rates(d, base).to(x.device))


def turned(
    x: Float[Tensor, "*batch n d"], angles: Float[Tensor, "n half"]
) -> Float[Tensor, "*batch n d"]:
    """The first 2 half numbers of x in pairs, turned by angles in radians; the rest stays."""
    return turned_by(x, angles.cos(), angles.sin())


def turned_by(
    x: Float[Tensor, "*batch n d"], cos: Float[Tensor, "n half"], sin: Float[Tensor, "n half"]
) -> Float[Tensor, "*batch n d"]:
    """`turned`, where the cosines and sines of the angles are at hand."""
    first = 2 * cos.shape[-1]
    even, odd = x[..., :first].float().unflatten(-1, (-1, 2)).unbind(-1)
    pairs = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1)
    out = pairs.flatten(-2).to(x.dtype)
    return out if first == x.shape[-1] else torch.cat([out, x[..., first:]], dim=-1)
