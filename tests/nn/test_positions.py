from __future__ import annotations

import pytest
import torch

from sonograph.nn.positions import first_columns, resize_positions


def table(rows: int, columns: int, special: int = 0, width: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows * 100 + columns)
    return torch.randn(1, special + rows * columns, width, generator=generator)


def test_the_same_grid_is_left_alone():
    kept = table(4, 6, special=2)
    assert torch.equal(resize_positions(kept, (4, 6), (4, 6), 2), kept)


def test_a_shorter_axis_is_cut_from_the_centre():
    old = table(4, 9)
    new = resize_positions(old, (4, 9), (2, 5))
    expected = old.view(4, 9, 3)[1:3, 2:7].reshape(1, 10, 3)
    assert torch.equal(new, expected)


def test_a_longer_axis_is_interpolated_linearly():
    """Written out: the centre of new cell i lies at (i + 0.5) old / new - 0.5, ends repeated."""
    old = table(2, 4)
    new = resize_positions(old, (2, 4), (2, 7)).view(2, 7, 3)
    for i in range(7):
        place = min(max((i + 0.5) * 4 / 7 - 0.5, 0.0), 3.0)
        left = min(int(place), 2)
        weight = place - left
        columns = old.view(2, 4, 3)
        expected = (1 - weight) * columns[:, left] + weight * columns[:, left + 1]
        torch.testing.assert_close(new[:, i], expected)


def test_both_axes_time_first_and_special_ones_kept():
    old = table(3, 4, special=2)
    new = resize_positions(old, (3, 4), (5, 2), 2)
    assert new.shape == (1, 2 + 10, 3)
    assert torch.equal(new[:, :2], old[:, :2])
    cut = old[:, 2:].view(1, 3, 4, 3)[:, :, 1:3].permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(cut, size=(5, 2), mode="bilinear")
    torch.testing.assert_close(new[:, 2:], expected.permute(0, 2, 3, 1).reshape(1, 10, 3))


def test_a_table_of_another_size_is_refused():
    with pytest.raises(ValueError, match="24 positions are not 2"):
        resize_positions(table(4, 6), (4, 6), (4, 5), special=2)


def test_a_shorter_clip_takes_the_first_columns():
    old = table(3, 5, special=1)
    got = first_columns(old, (3, 5), 2, special=1)
    expected = torch.cat([old[:, :1], old[:, 1:].view(1, 3, 5, 3)[:, :, :2].reshape(1, 6, 3)], 1)
    assert torch.equal(got, expected)
    assert first_columns(old, (3, 5), 5, special=1) is old
