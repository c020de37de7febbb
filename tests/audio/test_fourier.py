"""Transforms as products equal torch's."""

from __future__ import annotations

import pytest
import torch

from sonograph.audio import fourier


def apart(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    assert mine.shape == theirs.shape
    return float((mine - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("size", [1, 2, 15, 16, 400, 512, 2048])
def test_a_frame_and_back(size):
    frames = torch.randn(3, 5, size, generator=torch.Generator().manual_seed(size))
    spectrum = torch.fft.rfft(frames)
    assert apart(fourier.rfft(frames), spectrum) < 1e-5
    assert apart(fourier.irfft(spectrum, size), torch.fft.irfft(spectrum, size)) < 1e-5


@pytest.mark.parametrize(("size", "hop"), [(512, 128), (512, 160), (1024, 512), (2048, 441)])
def test_a_sound_and_back(size, hop):
    sound = torch.randn(2, 5 * size + 77, generator=torch.Generator().manual_seed(hop))
    window = torch.hann_window(size)
    theirs = torch.stft(sound, size, hop, window=window, return_complex=True)
    assert apart(fourier.stft(sound, size, hop, window), theirs) < 1e-5
    for length in (None, sound.shape[1] - 77):
        back = torch.istft(theirs, size, hop, window=window, length=length)
        # the ends lie under little window: there rounding is divided by next to nothing
        inside = slice(size // 2, -size // 2)
        mine = fourier.istft(theirs, size, hop, window, length)
        assert mine.shape == back.shape
        assert apart(mine[:, inside], back[:, inside]) < 1e-5
