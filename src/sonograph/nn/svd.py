"""Truncated singular value decomposition of weights, once for each weight."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.errors import InputError


@torch.no_grad()
def truncated_svd(
    weight: Float[Tensor, "outputs inputs"], rank: int | None = None
) -> tuple[Float[Tensor, "outputs r"], Float[Tensor, "r"], Float[Tensor, "r inputs"]]:
    """(U, s, V^T) of the `rank` largest singular values, or of all.

    In float64: the singular vectors of near-equal values are sensitive to rounding, and an
    adaptation that is loaded elsewhere decomposes the same weight again. Each pair has the sign
    that makes the largest entry of its column of U positive. On the meta device only the shapes.
    """
    full = min(weight.shape)
    rank = full if rank is None else rank
    if not 1 <= rank <= full:
        raise InputError(
            f"rank {rank} does not fit a matrix of {weight.shape[0]} x {weight.shape[1]}: "
            f"it lies between 1 and {full}"
        )
    if weight.is_meta:
        outputs, inputs = weight.shape
        return (
            weight.new_empty(outputs, rank),
            weight.new_empty(rank),
            weight.new_empty(rank, inputs),
        )
    u, s, vh = torch.linalg.svd(weight.double(), full_matrices=False)
    u, s, vh = u[:, :rank], s[:rank], vh[:rank]
    sign = u.gather(0, u.abs().argmax(0, keepdim=True)).sign()
    return (u * sign).to(weight), s.to(weight), (vh * sign.T).to(weight)


def rank_for(s: Float[Tensor, "r"], share: float, power: int = 2) -> int:
    """The fewest leading singular values whose sum of s^power reaches this share of the whole.

    >>> rank_for(torch.tensor([3.0, 4.0, 0.0]).sort(descending=True).values, 0.6)
    1
    """
    if not 0 < share <= 1:
        raise InputError(f"a share of {share} of a matrix's energy: it lies in (0, 1]")
    energy = s.double().pow(power).cumsum(0)
    return min(len(s), int((energy < share * energy[-1] * (1 - 1e-12)).sum()) + 1)
