"""From tokens to frames and back: what stands between a text and its features.

Shapes: durations (b, n) frames of each token; token values (b, n, d); frame values (b, t, d).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sonograph.nn.monotonic import token_of_frame


def lengthen(
    values: Float[Tensor, "b n d"], durations: Int64[Tensor, "b n"], length: int | None = None
) -> Float[Tensor, "b t d"]:
    """Repeat each token's values for as many frames as it lasts; zeros past the last one.

    length: frames of the result, by default those of the longest text. Ren et al. 2019, equation 1.

    >>> lengthen(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[1, 2]]))[0, :, 0].tolist()
    [1.0, 2.0, 2.0]
    """
    size = int(durations.sum(1).max()) if length is None else length
    index = token_of_frame(durations, size)
    inside = (index >= 0)[:, :, None]
    taken = values.gather(1, index.clamp(min=0)[:, :, None].expand(-1, -1, values.shape[2]))
    return torch.where(inside, taken, torch.zeros((), dtype=values.dtype, device=values.device))


def average(
    values: Float[Tensor, "b t"],
    durations: Int64[Tensor, "b n"],
    counted: Tensor | None = None,
) -> Float[Tensor, "b n"]:
    """Mean over the frames of each token; 0 for a token without a (counted) frame.

    counted: (b, t) which frames are looked at, such as the voiced ones.

    >>> average(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[1, 2]])).tolist()
    [[1.0, 3.0]]
    """
    index = token_of_frame(durations, values.shape[1])
    weight = (index >= 0).to(values.dtype)
    if counted is not None:
        weight = weight * counted
    index = index.clamp(min=0)
    empty = torch.zeros(durations.shape, dtype=values.dtype, device=values.device)
    sums = empty.scatter_add(1, index, values * weight)
    return sums / empty.scatter_add(1, index, weight).clamp(min=1)


def paced(
    durations: Int64[Tensor, "b n"], pace: Float[Tensor, "b n"] | None = None
) -> Int64[Tensor, "b n"]:
    """Durations spoken at another pace (2 is twice as fast), in whole frames.

    Ends are rounded, not durations, so that the whole is exact to half a frame however short its
    tokens are; without a pace nothing changes.

    >>> paced(torch.tensor([[3, 3, 3, 3]]), torch.full((1, 4), 2.0)).tolist()
    [[2, 1, 1, 2]]
    """
    if pace is None:
        return durations
    ends = (durations.double() / pace.double()).cumsum(1).round().long()
    return ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))
