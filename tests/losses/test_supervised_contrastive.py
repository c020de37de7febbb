from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from sonograph.losses.supervised_contrastive import supervised_contrastive


def test_the_loss_is_that_of_loops():
    draw = torch.Generator().manual_seed(0)
    scores = torch.rand(8, 20, generator=draw) * 2 - 1
    same = torch.rand(8, 20, generator=draw) > 0.7
    allowed = torch.rand(8, 20, generator=draw) > 0.2
    losses = []
    for i in range(8):
        total = sum(math.exp(float(scores[i, a]) / 0.1) for a in range(20) if allowed[i, a])
        parts = [
            -math.log(math.exp(float(scores[i, p]) / 0.1) / total)
            for p in range(20)
            if allowed[i, p] and same[i, p]
        ]
        if parts:
            losses.append(sum(parts) / len(parts))
    loss = supervised_contrastive(scores, same, allowed, 0.1)
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_one_positive_makes_it_cross_entropy():
    scores = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([0, 3, 5, 1, 2])
    same = torch.nn.functional.one_hot(target, 6).bool()
    loss = supervised_contrastive(scores, same, torch.ones_like(same), 0.5)
    torch.testing.assert_close(loss, cross_entropy(scores / 0.5, target))


def test_without_positives_it_is_zero_not_nan():
    scores = torch.randn(2, 3, requires_grad=True)
    none = torch.zeros(2, 3, dtype=torch.bool)
    loss = supervised_contrastive(scores, none, ~none, 0.1)
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.abs().max() == 0


def test_it_pulls_every_positive_where_neighbours_pull_one():
    """What LOOK gives up on purpose: a far clip of the label is pulled as well."""
    from sonograph.losses.neighbours import neighbour_loss

    same = torch.tensor([[True, True, False]])
    pulled = []
    for loss in (
        lambda s: supervised_contrastive(s, same, torch.ones_like(same), 0.5),
        lambda s: neighbour_loss(s, same, torch.ones_like(same), 2, 0.5),
    ):
        scores = torch.tensor([[0.8, -0.6, 0.5]], requires_grad=True)
        loss(scores).backward()
        pulled.append(float(scores.grad[0, 1]))
    assert pulled[0] < -0.1
    assert pulled[1] == 0
