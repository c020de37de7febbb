from __future__ import annotations

import itertools

import pytest
import torch

from sonograph.train import optim
from sonograph.train.config import TrainConfig
from sonograph.train.schedule import Plateau, cosine, exponential, linear, warmup


def test_exponential_is_the_multi_step_schedule_of_ast():
    """torch's MultiStepLR at epochs 5 to 25 with factor 0.85, as the AST recipe for ESC-50 has."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(range(5, 26)), gamma=0.85)
    for epoch in range(20):
        for step in (0, 6):
            ours = exponential(epoch * 7 + step, 7, 0.85, flat_epochs=5)
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_linear_is_berts_warm_up_and_fall():
    """transformers' get_linear_schedule_with_warmup, a step later: our first rate is above 0."""
    config = TrainConfig(steps=100, warmup_steps=10, lr=2.0, schedule="linear")
    rates = [optim.rate(config, step, 1.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[100] == linear(200, 100, 10) == 0.0
    falls = [a - b for a, b in itertools.pairwise(rates[10:])]
    assert falls == pytest.approx([2 / 90] * 90)


@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_gain_of_less_than_a_ten_thousandth_is_none(direction):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode=direction, factor=0.5, patience=2
    )
    ours = Plateau(0.5, 2, direction)
    sign = 1 if direction == "max" else -1
    for step in range(24):
        value = 0.5 + sign * (1e-5 * step if step < 12 else 1e-3 * step)
        scheduler.step(value)
        ours.observe(value)
        assert ours.factor == optimizer.param_groups[0]["lr"]
    assert 0.05 < ours.factor < 1


def test_plateau_is_torchs():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=2
    )
    ours = Plateau(0.5, 2, "max")
    generator = torch.Generator().manual_seed(3)
    for value in torch.rand(60, generator=generator).tolist():
        scheduler.step(value)
        ours.observe(value)
        assert ours.factor == optimizer.param_groups[0]["lr"]
    assert ours.factor < 1e-3
    copy = Plateau(0.5, 2, "max")
    copy.restore(ours.state())
    assert copy.state() == ours.state()


def test_warmup_then_cosine_meet_without_a_jump():
    config = TrainConfig(steps=100, warmup_steps=10, lr=2.0, lr_floor=0.1)
    rates = [optim.rate(config, step, 1.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.2 * cosine(0, 100, 10))
    assert rates[9] == rates[10] == 2.0
    assert rates[100] == pytest.approx(0.2)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert warmup(0, 0) == 1.0
