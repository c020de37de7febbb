from __future__ import annotations

import pytest
import torch

from sonograph.audio.wavelet import haar, inverse_haar, inverse_packets, packets
from sonograph.errors import InputError


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_packets_come_back_and_keep_energies(levels):
    x = torch.randn(2, 3, 64, dtype=torch.float64)
    bands = packets(x, levels)
    assert bands.shape == (2, 3, 2**levels, 64 >> levels)
    torch.testing.assert_close(inverse_packets(bands), x)
    torch.testing.assert_close(bands.square().sum((-1, -2)), x.square().sum(-1))


def test_bands_are_in_the_order_of_their_frequencies():
    n = torch.arange(1024)
    for band in range(4):
        tone = torch.sin(torch.pi * (band + 0.5) / 4 * n)
        assert int(packets(tone).square().sum(-1).argmax()) == band


def test_wrong_inputs():
    with pytest.raises(InputError, match="halves an even length, not 7"):
        haar(torch.zeros(7))
    with pytest.raises(InputError, match="powers of two, not 3"):
        inverse_packets(torch.zeros(3, 8))
    assert inverse_haar(*haar(torch.ones(2))).tolist() == pytest.approx([1, 1])
