"""The solvers beside torchdiffeq's fixed-grid ones, on a field without structure."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.flow_matching import solve, sway_times

torchdiffeq = pytest.importorskip("torchdiffeq")


@pytest.mark.parametrize(
    ("ours", "theirs"), [("euler", "euler"), ("midpoint", "midpoint"), ("heun", "heun2")]
)
def test_same_steps(ours, theirs):
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 6, dtype=torch.float64)
    start, times = torch.randn(3, 6, dtype=torch.float64), sway_times(9).double()

    def velocity(x, t):
        return torch.tanh(x @ first * (1 + t)) @ second

    want = torchdiffeq.odeint(lambda t, x: velocity(x, t), start, times, method=theirs)[-1]
    torch.testing.assert_close(solve(velocity, start, times, ours), want, rtol=1e-12, atol=1e-12)
