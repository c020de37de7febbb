from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.augment import mixed_neighbours, mixed_pairs, mixing_shares, striped
from sonograph.errors import InputError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_stripes_are_whole_narrow_and_of_each_clip():
    values = torch.ones(200, 1, 50, 16)
    made = striped(values, 2, 1, 8, generator())
    rows = made[:, 0].mean(2)
    assert set(rows.unique().tolist()) == {0.0, 1.0}
    widths = (rows == 0).sum(1)
    assert set(widths.tolist()) == set(range(8))
    edges = torch.diff(rows, dim=1).abs().sum(1)
    assert edges.max() <= 2
    assert len(rows.unique(dim=0)) > 50
    assert bool((rows[:, 0] == 0).any())
    assert bool((rows[:, -1] == 0).any())


def test_stripes_wider_than_the_axis_and_none():
    values = torch.ones(50, 3, 4)
    assert int((striped(values, 2, 1, 64, generator()) == 0).sum(2).max()) == 4
    assert torch.equal(striped(values, 1, 0, 8, generator()), values)
    filled = striped(values, 1, 2, 4, generator(), fill=-5.0)
    assert set(filled.unique().tolist()) == {-5.0, 1.0}


def test_the_same_generator_draws_the_same():
    values = torch.randn(4, 20, 30)
    first, again = (striped(values, 2, 2, 9, generator(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(mixing_shares(5, 1.0, generator()), mixing_shares(5, 1.0, generator()))


def test_shares_are_beta():
    shares = mixing_shares(20_000, 2.5, generator()).numpy()
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 2.5 + 1)), rel=0.05)
    flat = mixing_shares(20_000, 1.0, generator()).numpy()
    assert np.histogram(flat, 4, (0, 1))[0] / 20_000 == pytest.approx([0.25] * 4, abs=0.02)


def test_pairs_and_neighbours():
    values = torch.arange(8.0).reshape(4, 2)
    shares = torch.tensor([1.0, 0.25])
    assert torch.equal(mixed_pairs(values, shares)[0], values[0])
    torch.testing.assert_close(mixed_pairs(values, shares)[1], 0.25 * values[2] + 0.75 * values[3])
    rolled = mixed_neighbours(values, torch.tensor(0.5))
    torch.testing.assert_close(rolled[0], (values[0] + values[3]) / 2)
    torch.testing.assert_close(rolled[2], (values[2] + values[1]) / 2)


def test_bad_input_is_told():
    with pytest.raises(InputError, match="two clips a share"):
        mixed_pairs(torch.zeros(3, 2), torch.zeros(1))
    with pytest.raises(InputError, match="more than 0"):
        mixing_shares(2, 0.0, generator())
    with pytest.raises(InputError, match="axis from 1 to 2"):
        striped(torch.zeros(1, 2, 3), 0, 1, 2, generator())
    with pytest.raises(InputError, match="below a width of 0"):
        striped(torch.zeros(1, 2, 3), 1, 1, 0, generator())
