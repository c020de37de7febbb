"""The Fourier transform of short frames as products with fixed waves, for where no FFT is known.

Exporters know convolutions and products everywhere, transforms only here and there. Equal to
torch's to 1e-5 of the largest value; `exports/plainly.py` puts these in place of torch's own.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Float64
from torch import Tensor


@functools.cache
def _waves(samples: int) -> Float64[np.ndarray, "two_bins samples"]:
    """cos, then -sin, of each bin of a real transform."""
    turn = np.arange(samples // 2 + 1)[:, None] * np.arange(samples)
    angle = 2 * np.pi * (turn % samples) / samples  # exact where the product is large
    return np.concatenate((np.cos(angle), -np.sin(angle)))


@functools.cache
def _inverse_waves(samples: int) -> Float64[np.ndarray, "two_bins samples"]:
    """What real and imaginary part of each bin add to a frame.

    A real signal's spectrum has two halves: all but the ends of the half we hold count twice.
    """
    bins = samples // 2 + 1
    twice = np.full(bins, 2.0)
    twice[0] = 1
    if samples % 2 == 0:
        twice[-1] = 1
    return np.tile(twice, 2)[:, None] * _waves(samples) / samples


def rfft(frames: Float[Tensor, "*b n"]) -> Complex[Tensor, "*b bins"]:
    """torch.fft.rfft along the last axis."""
    n = frames.shape[-1]
    real, imaginary = (frames @ _like(_waves(n), frames).T).split(n // 2 + 1, dim=-1)
    return torch.complex(real, imaginary)


def irfft(spectrum: Complex[Tensor, "*b bins"], n: int) -> Float[Tensor, "*b n"]:
    """torch.fft.irfft along the last axis."""
    parts = torch.cat((spectrum.real, spectrum.imag), dim=-1)
    return parts @ _like(_inverse_waves(n), parts)


def stft(
    waveform: Float[Tensor, "b n"], fft_samples: int, hop_samples: int, window: Float[Tensor, "w"]
) -> Complex[Tensor, "b bins frames"]:
    """torch.stft of centred, mirrored frames."""
    half = fft_samples // 2
    padded = F.pad(waveform[:, None], (half, half), mode="reflect")[:, 0]
    return rfft(padded.unfold(1, fft_samples, hop_samples) * window).mT


def istft(
    spectrum: Complex[Tensor, "b bins frames"],
    fft_samples: int,
    hop_samples: int,
    window: Float[Tensor, "w"],
    length: int | None = None,
) -> Float[Tensor, "b n"]:
    """torch.istft, centred: one transposed convolution, divided by that of the squared window."""
    parts = torch.cat((spectrum.real, spectrum.imag), dim=1)
    waves = _like(_inverse_waves(fft_samples), parts) * window
    total = F.conv_transpose1d(parts, waves[:, None], stride=hop_samples)[:, 0]
    frames = torch.ones_like(parts[:1, :1])
    squares = window.square()[None, None]
    weight = F.conv_transpose1d(frames, squares, stride=hop_samples)[:, 0]
    half = fft_samples // 2
    if length is None:
        length = hop_samples * (spectrum.shape[-1] - 1) + fft_samples % 2
    inside = slice(half, half + length)
    return total[:, inside] / weight[:, inside].clamp(min=1e-11)


def _like(exact: np.ndarray, values: Tensor) -> Tensor:
    # in its kind before torch sees it: exporters keep what they are given, and cast it in each call
    kind = np.float64 if values.dtype == torch.float64 else np.float32
    return torch.as_tensor(exact.astype(kind), device=values.device).to(values.dtype)
