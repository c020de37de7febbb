"""Wavelets of pitch against PyWavelets, and against what NATSpeech makes with pycwt.

pycwt is no dependency: its formula (Torrence and Compo 1998, equation 4, with zeros up to a power
of two) stands here in numpy, as NATSpeech calls it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sonograph.nn.pitch_wavelets import SCALES, contour, wavelets


def smooth(t: int) -> torch.Tensor:
    draw = np.random.default_rng(0)
    x = np.convolve(draw.standard_normal(t + 80), np.hanning(81), "valid")
    return torch.from_numpy((x - x.mean()) / x.std())


def test_equals_pywavelets_up_to_its_steps():
    """PyWavelets adds up the hat's integral in steps: near, where a scale is more than a few."""
    pywt = pytest.importorskip("pywt")
    x = smooth(400)
    theirs, _ = pywt.cwt(x.numpy(), 2.0 ** np.arange(1, 11), "mexh", precision=14)
    ours = wavelets(x).numpy()
    for i in range(3, SCALES - 2):
        assert np.corrcoef(theirs[i], ours[:, i])[0, 1] > 0.999
        assert theirs[i].std() == pytest.approx(ours[:, i].std(), rel=0.02)


@pytest.mark.parametrize("t", [100, 128, 129])
def test_as_published_it_goes_round_at_a_power_of_two(t):
    x = smooth(t).numpy()
    n = 2 ** math.ceil(math.log2(t))
    dt, wanted = 0.005, np.zeros((t, SCALES))  # seconds, as NATSpeech counts a frame
    omega = 2 * np.pi * np.fft.fftfreq(n, dt)
    for i in range(SCALES):
        s = 2 * dt * 2**i
        psi = (s * omega) ** 2 * np.exp(-((s * omega) ** 2) / 2) / np.sqrt(math.gamma(2.5))
        norm = np.sqrt(s * omega[1] * n)
        wanted[:, i] = np.fft.ifft(np.fft.fft(x, n) * norm * psi).real[:t]
    found = wavelets(torch.from_numpy(x), "published")
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_natspeechs_way_back_over_a_batch():
    rows = np.random.default_rng(0).standard_normal((2, 30, SCALES))
    x = (rows * (np.arange(10) + 1 + 2.5) ** -2.5).sum(-1)
    wanted = (x - x.mean(-1, keepdims=True)) / x.std(-1, ddof=1, keepdims=True)
    found = contour(torch.from_numpy(rows), None, "published")
    np.testing.assert_allclose(found, wanted, atol=1e-12)
