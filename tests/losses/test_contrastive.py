from __future__ import annotations

import math

import pytest
import torch

from sonograph.losses.contrastive import info_nce_in_clip, nt_xent


def written_out(targets, predictions, valid) -> tuple[float, float]:
    """Equation 1 with the roles of the official code, one clip and patch at a time."""
    losses, right = [], []
    for t, p, keep in zip(targets.double(), predictions.double(), valid):
        t, p = t[keep], p[keep]
        share = [
            [math.exp(t[i] @ p[j]) / sum(math.exp(t[i] @ q) for q in p) for j in range(len(p))]
            for i in range(len(t))
        ]
        losses += [-math.log(share[i][i]) for i in range(len(t))]
        for j in range(len(p)):
            right.append(max(range(len(t)), key=lambda i: share[i][j]) == j)
    return sum(losses) / len(losses), sum(right) / len(right)


@pytest.mark.parametrize("padded", [False, True])
def test_equals_the_loop(padded):
    generator = torch.Generator().manual_seed(0)
    targets, predictions = torch.randn(2, 3, 6, 4, generator=generator)
    valid = torch.ones(3, 6, dtype=torch.bool)
    if padded:
        valid[0, 4:], valid[2, 1:] = False, False
    loss, accuracy = info_nce_in_clip(targets, predictions, valid if padded else None)
    expected, right = written_out(targets, predictions, valid)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert accuracy.item() == pytest.approx(right)


def test_padding_may_hold_anything():
    generator = torch.Generator().manual_seed(0)
    targets, predictions = torch.randn(2, 2, 6, 4, generator=generator)
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[1, 3:] = False
    before = info_nce_in_clip(targets, predictions, valid)
    targets[1, 3:], predictions[1, 3:] = 1e4, -1e4
    after = info_nce_in_clip(targets, predictions, valid)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_known_values():
    same = torch.eye(4)[None] * 30
    loss, accuracy = info_nce_in_clip(same, same)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert accuracy.item() == 1
    loss, _ = info_nce_in_clip(torch.zeros(1, 8, 4), torch.zeros(1, 8, 4))
    assert loss.item() == pytest.approx(math.log(8))


def test_other_clips_are_no_choices():
    generator = torch.Generator().manual_seed(0)
    targets, predictions = torch.randn(2, 2, 5, 4, generator=generator)
    parts = [info_nce_in_clip(targets[k : k + 1], predictions[k : k + 1])[0] for k in range(2)]
    together = info_nce_in_clip(targets, predictions)[0]
    torch.testing.assert_close(together, torch.stack(parts).mean())


def test_large_products_stay_finite_under_bf16():
    big = torch.randn(1, 6, 256, generator=torch.Generator().manual_seed(0)) * 20
    big.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = info_nce_in_clip(big.detach(), big)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(big.grad).all()


def test_nt_xent_equals_the_loop_of_simclr():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 5, 4, generator=generator)
    loss, found = nt_xent(first, second, 0.2)
    views = [v.double() / v.double().norm() for pair in zip(first, second) for v in pair]
    losses, right = [], []
    for i, view in enumerate(views):
        partner = i + 1 if i % 2 == 0 else i - 1  # 2k-1 and 2k of algorithm 1
        shares = {k: math.exp(view @ o / 0.2) for k, o in enumerate(views) if k != i}
        losses.append(-math.log(shares[partner] / sum(shares.values())))
        right.append(max(shares, key=shares.get) == partner)
    assert loss.item() == pytest.approx(sum(losses) / 10, rel=1e-5)
    assert found.item() == pytest.approx(sum(right) / 10)


def test_nt_xent_of_views_that_say_nothing_and_of_equal_ones():
    blank, found = nt_xent(torch.ones(8, 3), torch.ones(8, 3), 0.1)
    assert blank.item() == pytest.approx(math.log(15))
    assert found < 0.5
    same, found = nt_xent(torch.eye(6), 3 * torch.eye(6), 0.01)
    assert same.item() == pytest.approx(0, abs=1e-6)
    assert found == 1
