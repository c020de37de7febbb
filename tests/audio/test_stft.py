from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.stft import InverseStft, Stft, window_values

SHAPES = [(512, 128, 512), (400, 100, 400), (1024, 256, 800), (511, 100, 401)]
shapes = pytest.mark.parametrize(("fft", "hop", "width"), SHAPES)


@pytest.fixture(scope="module")
def waveform():
    return torch.randn(2, 6000, generator=torch.Generator().manual_seed(0))


@shapes
def test_equals_torch(waveform, fft, hop, width):
    window = torch.hann_window(width)
    want = torch.stft(waveform, fft, hop, width, window, return_complex=True)
    got = Stft(fft, hop, width)(waveform)
    assert (got - want).abs().max() < 1e-6 * want.abs().max()


@shapes
@pytest.mark.parametrize("samples", [None, 5950])
def test_inverse_equals_torch(waveform, fft, hop, width, samples):
    window = torch.hann_window(width)
    spectrum = torch.stft(waveform, fft, hop, width, window, return_complex=True)
    spectrum = spectrum * torch.linspace(0, 2, spectrum.shape[1])[:, None]  # no round trip
    want = torch.istft(spectrum, fft, hop, width, window, length=samples)
    got = InverseStft(fft, hop, width)(spectrum.real, spectrum.imag, samples)
    assert got.shape == want.shape
    assert (got - want).abs().max() < 3e-6 * want.abs().max()


def test_round_trip(waveform):
    spectrum = Stft(512, 128, 512)(waveform)
    back = InverseStft(512, 128, 512)(spectrum.real, spectrum.imag, 6000)
    torch.testing.assert_close(back, waveform, atol=3e-6, rtol=0)


def test_gradients():
    def round_trip(x):
        spectrum = Stft(16, 4, 16).double()(x)
        return InverseStft(16, 4, 16).double()(spectrum.real, 2 * spectrum.imag)

    waveform = torch.randn(1, 64, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(round_trip, (waveform,), fast_mode=True)


def test_inverse_exports():
    module = InverseStft(64, 16, 64)
    parts = torch.randn(2, 1, 33, 20).unbind()
    frames = torch.export.Dim("frames", min=4, max=5000)
    shapes = {"real": {2: frames}, "imaginary": {2: frames}}
    program = torch.export.export(module, parts, dynamic_shapes=shapes)
    other = torch.randn(2, 1, 33, 77).unbind()
    torch.testing.assert_close(program.module()(*other), module(*other))


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("hann", torch.hann_window(400, dtype=torch.float64)),
        ("hann_symmetric", torch.hann_window(400, False, dtype=torch.float64)),
        ("povey", torch.hann_window(400, False, dtype=torch.float64) ** 0.85),
        ("hamming", torch.hamming_window(400, dtype=torch.float64)),
        ("hamming_symmetric", torch.hamming_window(400, False, dtype=torch.float64)),
        ("ones", torch.ones(400, dtype=torch.float64)),
    ],
)
def test_windows(name, want):
    np.testing.assert_allclose(window_values(name, 400), want, atol=1e-12)
