from __future__ import annotations

import math

import pytest
import torch

from sonograph.errors import InputError
from sonograph.nn.flow_matching import (
    EVALUATIONS,
    STEPS,
    StraightPath,
    linear_times,
    solve,
    sway_times,
    velocity_loss,
)


def test_the_path_leads_from_noise_to_data_at_its_velocity():
    path, (x0, x1) = StraightPath(0.01), torch.randn(2, 3, 1, 40)
    at = [path.at(x0, x1, torch.full((3,), t)) for t in (0.0, 0.5, 1.0)]
    torch.testing.assert_close(at[0], x0)
    torch.testing.assert_close(at[2], x1 + 0.01 * x0)
    torch.testing.assert_close((at[2] - at[0]) / 1.0, path.velocity(x0, x1))
    torch.testing.assert_close(at[1] - at[0], path.velocity(x0, x1) / 2)
    one_each = path.at(x0, x1, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(one_each, torch.stack([at[k][k] for k in range(3)]))


def test_the_loss_is_of_what_the_mask_keeps_in_units_of_the_deviation():
    target, mask = torch.zeros(2, 4), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    predicted = torch.tensor([[2.0, 2.0, 99, 99], [1, 1, 1, 1]])
    deviation = torch.tensor([[2.0], [0.5]])
    assert velocity_loss(predicted, target, deviation, mask) == (2 * 1 + 4 * 4) / 6
    assert velocity_loss(predicted[1:], target[1:]) == 1
    assert velocity_loss(predicted, target, 1.0, torch.zeros(2, 4)) == 0


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
def test_orders_of_convergence(solver, order):
    """dx/dt = -2 x t, so that x(1) = 1 / e."""
    start, calls = torch.ones(1, dtype=torch.float64), []

    def velocity(x, t):
        calls.append(1)
        return -2 * x * t

    def error(steps):
        found = solve(velocity, start, linear_times(steps), solver)
        return abs(float(found) - math.exp(-1))

    measured = math.log2(error(64) / error(128))
    assert abs(measured - order) < 0.1
    assert len(calls) == (64 + 128) * EVALUATIONS[solver]


def test_a_straight_flow_is_followed_in_one_step_by_every_solver():
    x0, x1 = torch.randn(2, 5)
    for solver in STEPS:
        torch.testing.assert_close(solve(lambda x, t: x1 - x0, x0, linear_times(1), solver), x1)


def test_gradients_flow_through_the_steps():
    rate = torch.tensor(0.5, requires_grad=True)
    solve(lambda x, t: rate * x, torch.ones(1), linear_times(4)).sum().backward()
    assert rate.grad is not None
    torch.testing.assert_close(rate.grad, torch.tensor((1 + 0.5 / 4) ** 3))


def test_grids():
    assert linear_times(4).tolist() == [0, 0.25, 0.5, 0.75, 1]
    for coefficient in (-1.0, 0.0, 1.7):
        times = sway_times(10, coefficient)
        assert times[0] == 0
        assert abs(float(times[-1]) - 1) < 1e-6
        assert bool((times.diff() > 0).all())
    assert sway_times(10)[5] < 0.5 < sway_times(10, 1.0)[5]
    torch.testing.assert_close(sway_times(7, 0.0), linear_times(7))
    with pytest.raises(InputError, match="0 steps lead nowhere"):
        linear_times(0)
    with pytest.raises(InputError, match="run backwards"):
        sway_times(4, -1.1)
