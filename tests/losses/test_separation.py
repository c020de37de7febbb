"""Losses of separation against plain definitions."""

from __future__ import annotations

import itertools

import torch

from sonograph.losses.separation import (
    in_order,
    mixture_invariant,
    negative_si_snr,
    permutation_invariant,
    si_snr,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_si_snr_of_known_noise():
    """A part at right angles to the source, 20 dB below it, counts as 20 dB; level does not."""
    turn = torch.arange(800, dtype=torch.float64) / 800 * 2 * torch.pi
    source, other = torch.sin(5 * turn), 0.1 * torch.sin(9 * turn)
    for level in (1.0, 0.01, -3.0):
        torch.testing.assert_close(
            si_snr(level * (source + other), source), torch.tensor(20.0).double(), atol=1e-3, rtol=0
        )
    assert torch.isfinite(si_snr(torch.zeros(9), torch.zeros(9)))


def test_the_best_order_is_found():
    wanted = noise(4, 3, 200)
    orders = torch.tensor(list(itertools.permutations(range(3))))[[0, 2, 4, 5]]
    made = torch.stack([clip[row.argsort()] for clip, row in zip(wanted, orders)])
    made = made + 0.1 * noise(4, 3, 200, seed=1)
    least, found = permutation_invariant(made, wanted)
    assert torch.equal(found, orders)
    expected = negative_si_snr(in_order(made, found), wanted).mean(-1)
    torch.testing.assert_close(least, expected)
    for row in itertools.permutations(range(3)):
        assert (negative_si_snr(made[:, list(row)], wanted).mean(-1) >= least - 1e-9).all()


def test_mixtures_of_mixtures():
    parts = noise(2, 4, 300)
    mixtures = torch.stack([parts[:, 0] + parts[:, 3], parts[:, 1] + parts[:, 2]], 1)
    right = mixture_invariant(parts, mixtures)
    assert (right < -60).all()
    wrong = torch.stack([parts[:, 0] + parts[:, 1], parts[:, 2] + parts[:, 3]], 1)
    assert (mixture_invariant(torch.cat([wrong, 0 * wrong], 1), mixtures) > -20).all()


def test_gradients_reach_every_estimate():
    made = noise(2, 2, 50).requires_grad_()
    permutation_invariant(made, noise(2, 2, 50, seed=1))[0].mean().backward()
    assert made.grad is not None
    assert (made.grad.abs().amax(-1) > 0).all()
