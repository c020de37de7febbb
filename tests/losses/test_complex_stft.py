from __future__ import annotations

import pytest
import torch

from sonograph.errors import InputError
from sonograph.losses.complex_stft import ComplexStft


def test_is_the_mean_modulus_of_the_difference_of_spectra():
    torch.manual_seed(0)
    made, wanted = torch.randn(2, 2, 1, 3000), torch.randn(2, 2, 1, 3000)
    total = 0.0
    for size, hop in ((1024, 256), (512, 100)):
        window = torch.hann_window(size)
        one, other = (
            torch.stft(x.flatten(0, 2), 1024, hop, size, window, return_complex=True)
            for x in (made, wanted)
        )
        total += (one - other).abs().mean()
    loss = ComplexStft(1024, (1024, 512), (256, 100))
    torch.testing.assert_close(loss(made, wanted), total)
    assert loss(made, made) == 0


def test_a_window_longer_than_the_fft_makes_it_longer():
    x = torch.randn(1, 3000)
    longer, same = ComplexStft(256, (1024,), (128,)), ComplexStft(1024, (1024,), (128,))
    assert longer(x, 0 * x) == same(x, 0 * x)


def test_phase_counts():
    wave = torch.sin(torch.arange(4000) * 0.1)[None]
    assert ComplexStft(512, (512,), (128,))(-wave, wave) > 1


def test_one_hop_a_window():
    with pytest.raises(InputError, match="2 loss windows but 1 hops"):
        ComplexStft(512, (512, 256), (128,))
