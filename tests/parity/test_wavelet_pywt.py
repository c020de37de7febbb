"""Haar packets beside PyWavelets'."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.wavelet import haar, packets

pywt = pytest.importorskip("pywt")


def test_same_bands():
    x = np.random.default_rng(0).standard_normal(64)
    for ours, theirs in zip(haar(torch.from_numpy(x)), pywt.dwt(x, "haar")):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    tree = pywt.WaveletPacket(x, "haar", mode="periodization", maxlevel=2)
    theirs = np.stack([node.data for node in tree.get_level(2, order="freq")])
    np.testing.assert_allclose(packets(torch.from_numpy(x)), theirs, atol=1e-12)
