"""Which tokens a masked-prediction objective hides.

Every sampler answers a boolean mask (batch, tokens), True = hidden, drawn from the generator that
it is given, so that a training step can be repeated. `counts` says how many tokens of each clip
are hidden; tokens outside `valid` (padding) never are.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Grid = tuple[int, int]  # (rows, columns)


def random_mask(
    valid: Bool[Tensor, "b n"], counts: Int[Tensor, "b"], generator: torch.Generator
) -> Bool[Tensor, "b n"]:
    """`counts` tokens of each clip, uniformly without replacement."""
    return _lowest(torch.rand(valid.shape, generator=generator), valid, counts)


def cluster_mask(
    valid: Bool[Tensor, "b n"],
    grid: Grid,
    counts: Int[Tensor, "b"],
    generator: torch.Generator,
    smallest: int = 3,
    largest: int = 5,
) -> Bool[Tensor, "b n"]:
    """Square clusters of tokens with a side drawn for each clip, until `counts` are hidden.

    SSAST (Gong et al. 2022), algorithm 1, made unbiased: blocks may hang over every edge of the
    grid, so that each token is hidden equally often, and what is too much is taken away from the
    last block at random. `published_cluster_mask` is the official draw.
    """
    batch, (rows, columns) = valid.shape[0], grid
    side = torch.randint(smallest, largest + 1, (batch, 1, 1), generator=generator)
    # Three times the blocks that would tile the grid hide a share of 1 - e^-3 of it on average;
    # tokens that none of them reached come last, in random order.
    blocks = 3 * -(-rows * columns // smallest**2)
    row = _start(rows, side, blocks, generator)
    column = _start(columns, side, blocks, generator)
    inside_row = _within(torch.arange(rows), row, side)  # (batch, blocks, rows)
    inside_column = _within(torch.arange(columns), column, side)
    covered = inside_row[..., :, None] & inside_column[..., None, :]
    covered = covered.flatten(2)  # (batch, blocks, tokens)
    first = torch.where(covered.any(1), covered.to(torch.uint8).argmax(1), blocks)
    order = first + torch.rand(valid.shape, generator=generator)
    return _lowest(order, valid, counts)


def published_cluster_mask(
    grid: Grid, count: int, batch: int, generator: torch.Generator
) -> Bool[Tensor, "b n"]:
    """The cluster draw of SSAST's official code, with its three biases.

    Blocks grow from a start index in index space, so they wrap from the end of one frequency row
    into the next; token 0 is never hidden; and the surplus is cut from the highest indices, which
    are the highest frequencies.
    """
    (rows, columns), hidden = grid, []
    total = rows * columns
    for _ in range(batch):
        side = 3 + int(torch.randint(3, (), generator=generator))
        block = (torch.arange(side)[:, None] * columns + torch.arange(side)).flatten()
        mask = torch.zeros(total, dtype=torch.bool)
        while int(mask.sum()) <= count:
            ids = block + int(torch.randint(total, (), generator=generator))
            mask[ids[(ids > 0) & (ids < total)]] = True
        mask[mask.nonzero().flatten()[count:]] = False
        hidden.append(mask)
    return torch.stack(hidden)


def span_mask(
    valid: Bool[Tensor, "b n"], counts: Int[Tensor, "b"], span: int, generator: torch.Generator
) -> Bool[Tensor, "b n"]:
    """Runs of `span` neighbouring tokens of a sequence, until `counts` are hidden."""
    n = valid.shape[1]
    return cluster_mask(valid, (1, n), counts, generator, smallest=span, largest=span)


def block_mask(
    valid: Bool[Tensor, "b n"],
    grid: Grid,
    block: Grid,
    counts: Int[Tensor, "b"],
    generator: torch.Generator,
) -> Bool[Tensor, "b n"]:
    """Whole cells of a coarser grid: rectangles of `block` = (rows, columns) tokens.

    The last cell is hidden in part where `counts` is not a multiple of a cell.
    """
    rows, columns = (-(-n // b) for n, b in zip(grid, block))
    cells = torch.rand((valid.shape[0], rows, columns), generator=generator)
    order = cells.repeat_interleave(block[0], 1).repeat_interleave(block[1], 2)
    return _lowest(order[:, : grid[0], : grid[1]].flatten(1), valid, counts)


def _start(size: int, side: Tensor, blocks: int, generator: torch.Generator) -> Tensor:
    """First index of each block, from 1 - side (hanging over the near edge) to size - 1."""
    batch = side.shape[0]
    draw = torch.rand((batch, blocks, 1), generator=generator)
    return (draw * (size + side - 1)).floor().long() - (side - 1)


def _within(index: Tensor, start: Tensor, side: Tensor) -> Tensor:
    return (index >= start) & (index < start + side)


def _lowest(
    order: Float[Tensor, "b n"], valid: Bool[Tensor, "b n"], counts: Int[Tensor, "b"]
) -> Bool[Tensor, "b n"]:
    """The `counts` valid tokens that come first in `order`."""
    order = order.masked_fill(~valid.to(order.device), float("inf"))
    rank = order.argsort(dim=1).argsort(dim=1)
    counts = torch.minimum(counts.to(order.device), valid.sum(1).to(order.device))
    return (rank < counts[:, None]).to(valid.device)
