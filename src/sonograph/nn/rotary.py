"""Rotary positions: queries and keys are turned by an angle that grows with their place."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rotated(x: Float[Tensor, "*batch n d"], base: float = 10_000.0) -> Float[Tensor, "*batch n d"]:
    """Pairs of neighbouring numbers (2j, 2j + 1) turned by place * base^(-2j / d), d even.

    The product of two such vectors depends on the distance of their places alone. Su et al. 2021,
    equation 34. The angles are float32 whatever the type of x.

    >>> rotated(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """
    n, d = x.shape[-2:]
    if d % 2:
        raise ValueError(f"rotary positions turn pairs: {d} numbers a head are odd")
    rate = base ** (-torch.arange(0, d, 2, device=x.device).float() / d)
    angle = torch.arange(n, device=x.device).float()[:, None] * rate
    cos, sin = angle.cos(), angle.sin()
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1)
    return turned.flatten(-2).to(x.dtype)
