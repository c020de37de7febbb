"""Parts of MossFormer2 against others' code: lucidrains' rotary embedding, PyTorch's transforms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sonograph.nn.rotary import rotary_rates, turned
from sonograph.systems.separate.mossformer2 import Learned, Net, Spectral
from sonograph.systems.separate.mossformer2.model import FilterBank, SpectralMask


def test_rotary_positions_of_the_first_numbers_equal_lucidrains():
    rotary = pytest.importorskip("rotary_embedding_torch")
    x = torch.randn(2, 50, 128)
    want = rotary.RotaryEmbedding(dim=32).rotate_queries_or_keys(x)
    got = turned(x, torch.arange(50)[:, None] * rotary_rates(32))
    torch.testing.assert_close(got, want)


def test_filters_equal_pytorchs_convolutions():
    torch.manual_seed(0)
    bank = FilterBank(Learned(filters=12, filter_samples=8), Net(width=8, depth=1))
    sound = torch.randn(2, 8 + 4 * 9)
    code = bank.encode(sound)
    want = F.conv1d(sound[:, None], bank.encoder.weight[:, None], stride=4).relu()
    torch.testing.assert_close(code.mT, want)
    back = F.conv_transpose1d(code.mT, bank.decoder.weight.T[:, None], stride=4)
    torch.testing.assert_close(bank.decode(code[:, None]), back)


def test_the_enhancers_transform_equals_pytorchs():
    front = Spectral(fft_samples=64, hop_samples=16, bands=8)
    part = SpectralMask(front, Net(width=8, depth=1, recurrence="plain"), 8000)
    sound = torch.randn(2, 64 + 16 * 7)
    window = torch.hamming_window(64, periodic=False)
    want = torch.stft(sound, 64, 16, 64, window, center=False, return_complex=True)
    torch.testing.assert_close(part.spectrum(sound).mT, want)
    mask = torch.rand(2, 8, 33)
    back = torch.istft(want * mask.mT, 64, 16, 64, window, center=False, length=sound.shape[1])
    torch.testing.assert_close(part.masked(sound, mask), back, atol=1e-5, rtol=1e-4)
