"""Shifts from a condition."""

import torch

from sonograph.nn.film import Shifts


def test_each_place_has_its_own_map():
    shifts = Shifts(3, (4, 2))
    condition = torch.randn(5, 3)
    first, second = shifts(condition)
    assert first.shape == (5, 4, 1, 1)
    weight, bias = shifts.map.weight, shifts.map.bias
    torch.testing.assert_close(first[..., 0, 0], condition @ weight[:4].T + bias[:4])
    torch.testing.assert_close(second[..., 0, 0], condition @ weight[4:].T + bias[4:])


def test_begins_as_xavier_does_for_each_map_alone():
    torch.manual_seed(0)
    shifts = Shifts(50, (1000, 10))
    first, second = (rows.abs().max().item() for rows in shifts.map.weight.split((1000, 10)))
    assert abs(first - (6 / 1050) ** 0.5) < 1e-3
    assert abs(second - (6 / 60) ** 0.5) < 5e-3
    assert not shifts.map.bias.any()
