from __future__ import annotations

import pytest
import torch

from sonograph.nn import masking

GRID = (8, 12)
VALID = torch.ones(64, 96, dtype=torch.bool)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


SAMPLERS = {
    "random": lambda valid, counts, g: masking.random_mask(valid, counts, g),
    "cluster": lambda valid, counts, g: masking.cluster_mask(valid, GRID, counts, g),
    "span": lambda valid, counts, g: masking.span_mask(valid, counts, 5, g),
    "block": lambda valid, counts, g: masking.block_mask(valid, GRID, (4, 3), counts, g),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_exactly_as_many_as_asked_and_never_padding(name):
    valid = VALID.clone()
    for row in range(64):  # clips of 1 to 12 columns
        valid[row].view(GRID)[:, 1 + row % 12 :] = False
    counts = torch.arange(64) % 9 * (1 + torch.arange(64) % 12)
    hidden = SAMPLERS[name](valid, counts, seeded())
    assert torch.equal(hidden.sum(1), counts.minimum(valid.sum(1)))
    assert not (hidden & ~valid).any()


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_than_there_are_hides_all_valid(name):
    valid = VALID.clone()
    valid[:, 40:] = False
    assert torch.equal(SAMPLERS[name](valid, torch.full((64,), 96), seeded()), valid)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_generator_alone_decides(name):
    counts = torch.full((64,), 40)
    first = SAMPLERS[name](VALID, counts, seeded(1))
    torch.manual_seed(99)
    assert torch.equal(first, SAMPLERS[name](VALID, counts, seeded(1)))
    assert not torch.equal(first, SAMPLERS[name](VALID, counts, seeded(2)))


def share_hidden(draw, rounds: int = 40) -> torch.Tensor:
    """How often each token is hidden over many draws."""
    generator = seeded()
    return torch.stack([draw(generator).float().mean(0) for _ in range(rounds)]).mean(0)


@pytest.mark.parametrize("share", [0.25, 0.78])
@pytest.mark.parametrize("name", ["random", "cluster"])
def test_every_token_is_hidden_equally_often(name, share):
    """2560 draws: the deviation of a fair share is below 0.01, so 0.05 is five deviations."""
    counts = torch.full((64,), round(share * 96))
    shares = share_hidden(lambda g: SAMPLERS[name](VALID, counts, g))
    assert (shares - round(share * 96) / 96).abs().max() < 0.05


def test_the_published_draw_has_its_biases():
    """Token 0 is never hidden, the highest indices less often than the others."""
    shares = share_hidden(lambda g: masking.published_cluster_mask(GRID, 75, 16, g))
    assert shares[0] == 0
    assert shares[-12:].mean() < shares[24:60].mean() - 0.1


def test_the_published_draw_hides_exactly_as_many():
    hidden = masking.published_cluster_mask(GRID, 75, 16, seeded())
    assert hidden.shape == (16, 96)
    assert (hidden.sum(1) == 75).all()


def test_clusters_are_squares():
    """As many as one block holds: a first block that lies inside the grid is a whole square.

    A start is inside with chance 6 x 10 of 10 x 14, so that 27 of 64 draws are expected to be.
    """
    hidden = masking.cluster_mask(VALID, GRID, torch.full((64,), 9), seeded(), 3, 3)
    squares = 0
    for row in hidden.view(64, *GRID):
        rows, columns = row.nonzero().unbind(1)
        squares += len({*rows.tolist()}) == len({*columns.tolist()}) == 3
    assert squares > 15


def test_clusters_hang_together_more_than_single_tokens():
    counts = torch.full((64,), 30)

    def neighbours(hidden: torch.Tensor) -> float:
        grid = hidden.view(64, *GRID)
        return float((grid[:, :, 1:] & grid[:, :, :-1]).float().mean())

    cluster = neighbours(masking.cluster_mask(VALID, GRID, counts, seeded()))
    single = neighbours(masking.random_mask(VALID, counts, seeded()))
    assert cluster > 1.5 * single


def test_blocks_are_cells_of_the_coarser_grid():
    hidden = masking.block_mask(VALID, GRID, (4, 3), torch.full((64,), 36), seeded())
    cells = hidden.view(64, 2, 4, 4, 3).float().mean((2, 4))
    assert ((cells == 0) | (cells == 1)).all()
    assert (cells.sum((1, 2)) == 3).all()
