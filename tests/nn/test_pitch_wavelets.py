"""Wavelets of pitch: against the sum itself, and back again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.nn.pitch_wavelets import SCALES, contour, wavelets


def smooth(t: int, seed: int = 0) -> torch.Tensor:
    """A phrase: it falls, rises where words are stressed, and trembles a little."""
    draw = np.random.default_rng(seed)
    place = np.arange(t) / t
    x = -2 * place + 0.02 * draw.standard_normal(t)
    for centre in draw.uniform(0, 1, 4):
        x = x + draw.uniform(0.5, 1) * np.exp(-((place - centre) ** 2) / 0.004)
    return torch.from_numpy((x - x.mean()) / x.std())


@pytest.mark.parametrize("t", [1, 2, 37, 128])
def test_equals_the_sum(t):
    x = smooth(max(t, 2))[:t].numpy()
    wanted = np.zeros((t, SCALES))
    for i in range(SCALES):
        s = 2.0 ** (i + 1)
        for u in range(t):
            p = (u - np.arange(t)) / s
            psi = 2 / (np.sqrt(3) * np.pi**0.25) * (1 - p**2) * np.exp(-(p**2) / 2)
            wanted[:, i] += x[u] * psi / np.sqrt(s)
    np.testing.assert_allclose(wavelets(torch.from_numpy(x)), wanted, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_back_again_a_contour_has_its_shape(seed):
    x = smooth(300, seed)
    again = contour(wavelets(x)[None])[0]
    assert float(again.mean()) == pytest.approx(0, abs=1e-9)
    assert float(again.square().mean()) == pytest.approx(1)
    assert float((again * x).mean()) > 0.98
    assert float((again - x).square().mean().sqrt()) < 0.2


def test_scales_are_as_far_apart_as_their_formula_says():
    """Of hats r times as wide, the cosine is (2 r / (1 + r^2))^(5/2): 0.57, 0.15, 0.03."""
    impulse = torch.zeros(4001, dtype=torch.float64)
    impulse[2000] = 1
    hats = wavelets(impulse)[:, :7]  # those that end within it
    torch.testing.assert_close(hats.square().sum(0), torch.ones(7, dtype=torch.float64))
    cosines = hats.T @ hats
    for i in range(7):
        for j in range(i):
            r = 2.0 ** (i - j)
            assert float(cosines[i, j]) == pytest.approx((2 * r / (1 + r * r)) ** 2.5, abs=2e-3)


def test_one_frame_more_changes_little_unless_it_goes_round():
    x = smooth(257)
    change = {}
    for compat in ("none", "published"):
        longer, shorter = wavelets(x, compat), wavelets(x[:256], compat)
        change[compat] = float((longer[:128] - shorter[:128]).abs().max())
    assert change["none"] < 0.1
    assert change["published"] > 5  # of rows as large as 11


def test_padding_changes_nothing_unless_it_is_asked_to():
    rows = torch.stack([wavelets(smooth(60)), wavelets(smooth(60, 1))])
    mask = torch.arange(60) < torch.tensor([60, 40])[:, None]
    rows[1, 40:] = 7.0
    both, alone = contour(rows, mask), contour(rows[1:, :40])
    torch.testing.assert_close(both[1, :40], alone[0])
    assert both[1, 40:].abs().max() == 0
    published = contour(rows, mask, "published")
    assert not torch.allclose(published[1, :40], alone[0], atol=0.1)
    torch.testing.assert_close(published.std(1), torch.ones(2, dtype=torch.float64))


def test_a_flat_contour_and_a_single_frame_are_finite():
    assert torch.isfinite(contour(torch.zeros(1, 5, SCALES))).all()
    assert contour(wavelets(torch.ones(1))[None]).tolist() == [[0.0]]
