from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.losses.ssim import ssim, ssim_loss


def test_equals_the_formula_cell_by_cell():
    torch.manual_seed(0)
    x, y = torch.randn(1, 14, 13, dtype=torch.float64), torch.randn(1, 14, 13, dtype=torch.float64)
    bell = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    window = np.outer(bell, bell) / bell.sum() ** 2
    a, b = (np.pad(v[0].numpy(), 5) for v in (x, y))
    want = np.empty((14, 13))
    for i in range(14):
        for j in range(13):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp = (window * p * p).sum() - mp**2
            vq = (window * q * q).sum() - mq**2
            both = (window * p * q).sum() - mp * mq
            top = (2 * mp * mq + 1e-4) * (2 * both + 9e-4)
            want[i, j] = top / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
    np.testing.assert_allclose(ssim(x, y)[0].numpy(), want, rtol=1e-9)


def test_equal_ones_cost_nothing_and_masked_frames_do_not_count():
    torch.manual_seed(0)
    x = torch.randn(2, 30, 20)
    assert ssim_loss(x, x).item() == pytest.approx(0, abs=1e-4)
    y = x.clone()
    y[:, 20:] += 3.0
    mask = (torch.arange(30) < 14).expand(2, -1)  # further than a window from the change
    assert ssim_loss(x, y, mask).item() == pytest.approx(0, abs=1e-4)
    assert ssim_loss(x, y).item() > 0.05
