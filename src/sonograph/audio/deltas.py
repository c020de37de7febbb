"""Differences over time, put below features as more rows."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def with_deltas(
    values: Float[Tensor, "b rows frames"],
    counts: Int64[Tensor, "b"] | None,
    orders: int,
    reach: int = 2,
) -> Float[Tensor, "b more frames"]:
    """Features with their first `orders` differences below them; more = (1 + orders) rows.

    d_t = sum_n n (c_{t+n} - c_{t-n}) / (2 sum_n n^2), n = 1 .. reach; the first and the last
    frame of a clip are repeated beyond its ends. HTK book, section 5.6. counts: frames of each
    clip, or None for all.
    """
    b, _, frames = values.shape
    device = values.device
    last = torch.full((b,), frames, device=device) if counts is None else counts.to(device)
    last = (last - 1).clamp(min=0)[:, None]
    parts = [values]
    for _ in range(orders if frames else 0):
        slope = torch.zeros_like(values)
        for n in range(1, reach + 1):
            for step in (n, -n):
                place = torch.arange(frames, device=device) + step
                place = place.clamp(min=0).expand(b, -1).minimum(last)
                slope = slope + step * parts[-1].gather(2, place[:, None].expand_as(values))
        parts.append(slope / (2 * sum(n * n for n in range(1, reach + 1))))
    return torch.cat(parts if frames else parts * (1 + orders), dim=1)
