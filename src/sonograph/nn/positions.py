"""Learned position tables, and fitting one to another grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def resize_positions(
    table: Float[Tensor, "1 n d"], old: tuple[int, int], new: tuple[int, int], special: int = 0
) -> Float[Tensor, "1 m d"]:
    """A position table for another grid of (rows, columns): cut from the centre, or stretched.

    A shorter axis takes the middle of the old one, a longer axis is interpolated linearly, time
    first; the first `special` entries stay as they are. AST (Gong et al. 2021), section 2.2.
    """
    if table.shape[1] != special + old[0] * old[1]:
        raise ValueError(f"{table.shape[1]} positions are not {special} + {old[0]} x {old[1]}")
    kept, grid = table[:, :special], table[:, special:]
    grid = rearrange(grid, "1 (f t) d -> 1 d f t", f=old[0])
    grid = _fit(grid, axis=3, size=new[1])
    grid = _fit(grid, axis=2, size=new[0])
    return torch.cat([kept, rearrange(grid, "1 d f t -> 1 (f t) d")], dim=1)


def first_columns(
    table: Float[Tensor, "1 n d"], grid: tuple[int, int], columns: int, special: int = 0
) -> Float[Tensor, "1 m d"]:
    """The positions of the first `columns` time steps: what a shorter clip uses.

    Cut from the start, not the centre, so that a clip gets the same positions whatever the
    length of the batch that it is padded to.
    """
    if columns == grid[1]:
        return table
    kept, rest = table[:, :special], table[:, special:]
    rest = rearrange(rest, "1 (f t) d -> 1 f t d", f=grid[0])[:, :, :columns]
    return torch.cat([kept, rearrange(rest, "1 f t d -> 1 (f t) d")], dim=1)


def _fit(grid: Float[Tensor, "1 d f t"], axis: int, size: int) -> Tensor:
    old = grid.shape[axis]
    if size <= old:
        return grid.narrow(axis, old // 2 - size // 2, size)
    target = [grid.shape[2], grid.shape[3]]
    target[axis - 2] = size
    return F.interpolate(grid, size=target, mode="bilinear")
