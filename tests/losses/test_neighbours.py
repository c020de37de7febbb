"""The leave-one-out neighbour loss beside loops, and its relatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from sonograph.losses.neighbours import (
    nearest_keys,
    neighbour_loss,
    neighbour_votes,
    neighbours_wanted,
)

TEMPERATURE = 0.2


def drawn(queries: int = 12, keys: int = 40, classes: int = 4, seed: int = 0):
    """(scores, labels of queries, labels of keys, allowed)."""
    draw = torch.Generator().manual_seed(seed)
    one, other = (normalize(torch.randn(n, 6, generator=draw), dim=1) for n in (queries, keys))
    labels = torch.randint(classes, (queries,), generator=draw)
    known = torch.randint(classes, (keys,), generator=draw)
    allowed = torch.rand(queries, keys, generator=draw) > 0.2
    return one @ other.T, labels, known, allowed


def by_hand(scores, labels, known, allowed, k, absent, eps=1e-6):
    """The loss in plain Python."""
    losses = []
    for i in range(len(scores)):
        order = sorted(
            (j for j in range(len(known)) if allowed[i, j]), key=lambda j: -float(scores[i, j])
        )
        near = order[:k]
        right = [j for j in order if known[j] == labels[i]]
        if absent == "nearest":
            if not right:
                continue
            if not set(right) & set(near):
                near = [*near, right[0]]
        votes = {j: math.exp(float(scores[i, j]) / TEMPERATURE) for j in near}
        own = sum(vote for j, vote in votes.items() if known[j] == labels[i])
        share = own / sum(votes.values())
        losses.append(-math.log(share + (eps if absent == "eps" else 0)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("absent", ["nearest", "eps"])
@pytest.mark.parametrize("k", [1, 3, 10, 1000])
def test_the_loss_is_that_of_loops(k, absent):
    scores, labels, known, allowed = drawn()
    same = labels[:, None] == known[None]
    loss = neighbour_loss(scores, same, allowed, k, TEMPERATURE, absent)
    expected = by_hand(scores, labels, known, allowed, k, absent)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_some_queries_had_no_right_neighbour():
    """Or the two ways with them were not tested above."""
    scores, labels, known, allowed = drawn()
    right = (labels[:, None] == known[None]) & nearest_keys(scores, allowed, 1)
    assert 0 < int((~right.any(1)).sum()) < len(labels)


def test_all_keys_make_it_neighbourhood_components_analysis():
    scores, labels, known, _ = drawn()
    same = labels[:, None] == known[None]
    loss = neighbour_loss(scores, same, torch.ones_like(same), 40, TEMPERATURE)
    shares = (scores / TEMPERATURE).softmax(1)
    torch.testing.assert_close(loss, -(shares * same).sum(1).log().mean())


def test_one_key_a_label_makes_it_cross_entropy():
    scores, labels, known, _ = drawn(keys=4)
    known = torch.arange(4)
    same = labels[:, None] == known[None]
    loss = neighbour_loss(scores, same, torch.ones_like(same), 4, TEMPERATURE)
    torch.testing.assert_close(loss, cross_entropy(scores / TEMPERATURE, labels))


def test_a_key_that_is_not_allowed_changes_nothing():
    scores, labels, known, allowed = drawn()
    same = labels[:, None] == known[None]
    changed = scores.masked_fill(~allowed, 5.0)
    for absent in ("nearest", "eps"):
        one, other = (
            neighbour_loss(s, same, allowed, 5, TEMPERATURE, absent) for s in (scores, changed)
        )
        assert torch.equal(one, other)


def test_a_lost_query_is_pulled_to_the_nearest_of_its_label_only():
    scores = torch.tensor([[0.9, 0.8, 0.3, -0.5]], requires_grad=True)
    same = torch.tensor([[False, False, True, True]])
    neighbour_loss(scores, same, torch.ones_like(same), 2, TEMPERATURE).backward()
    assert scores.grad[0, 2] < 0
    assert scores.grad[0, 3] == 0
    assert scores.grad[0, 0] > 0
    lost = torch.tensor([[0.9, 0.8, 0.3, -0.5]], requires_grad=True)
    neighbour_loss(lost, same, torch.ones_like(same), 2, TEMPERATURE, "eps").backward()
    assert lost.grad.abs().max() == 0


@pytest.mark.parametrize("absent", ["nearest", "eps"])
def test_nothing_to_compare_with_is_zero_not_nan(absent):
    scores = torch.randn(3, 5, requires_grad=True)
    none = torch.zeros(3, 5, dtype=torch.bool)
    loss = neighbour_loss(scores, none, none, 2, TEMPERATURE, absent)
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.abs().max() == 0


def test_gradients_are_exact():
    scores, labels, known, allowed = drawn(queries=5, keys=12, classes=2)
    same = labels[:, None] == known[None]
    point = scores.clone().requires_grad_()
    neighbour_loss(point, same, allowed, 3, TEMPERATURE).backward()
    step = 1e-2
    assert point.grad.abs().max() > 0.1
    for i, j in [(i, j) for i in range(5) for j in range(12)]:
        shift = torch.zeros_like(scores)
        shift[i, j] = step
        up, down = (by_hand_fixed(scores + s, scores, same, allowed) for s in (shift, -shift))
        assert float(point.grad[i, j]) == pytest.approx((up - down) / (2 * step), abs=2e-3)


def by_hand_fixed(moved, scores, same, allowed):
    """The loss of moved scores with the neighbours that they had before."""
    near = nearest_keys(scores, allowed, 3)
    lost = ~(near & same).any(1, keepdim=True)
    near = near | (nearest_keys(scores, same & allowed, 1) & lost)
    votes = (moved / TEMPERATURE).exp() * near
    return float(-((votes * same).sum(1) / votes.sum(1)).log().mean())


def test_votes_are_shares_and_none_without_keys():
    scores, _, known, allowed = drawn()
    allowed[3] = False
    votes = neighbour_votes(scores, known, allowed, 7, TEMPERATURE, 4)
    total = votes.sum(1)
    assert float(total[3]) == 0
    torch.testing.assert_close(total[torch.arange(12) != 3], torch.ones(11))


def test_k_comes_down_to_its_value_and_never_below():
    wanted = [neighbours_wanted(step, 10, 512, 20) for step in range(30)]
    assert wanted[0] == 512
    assert wanted == sorted(wanted, reverse=True)
    assert set(wanted[20:]) == {10}
    assert neighbours_wanted(0, 10, 8, 20) == 10
    assert neighbours_wanted(0, 10, 512, 0) == 10
