"""Windows, and the short-time Fourier transform with an inverse that can be exported."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Float64
from torch import Tensor, nn

from sonograph.audio.table import Table

Window = Literal["hann", "hann_symmetric", "povey", "hamming", "hamming_symmetric", "ones"]


def window_values(name: Window, samples: int) -> Float64[np.ndarray, "samples"]:
    """A window. Plain names are periodic (spectral analysis); Kaldi's are symmetric; povey =
    hann ** 0.85.
    """
    if samples == 1 or name == "ones":
        return np.ones(samples)
    symmetric = name in ("hann_symmetric", "hamming_symmetric", "povey")
    turn = 2 * np.pi * np.arange(samples) / (samples - 1 if symmetric else samples)
    if name.startswith("hamming"):
        return 0.54 - 0.46 * np.cos(turn)
    hann = np.sin(turn / 2) ** 2  # (1 - cos) / 2 without cancellation
    if symmetric:
        hann[-1] = 0  # sin(pi) is not quite 0 in floating point
    return hann**0.85 if name == "povey" else hann


class Stft(nn.Module):
    """Short-time Fourier transform: frames centred on t hop, ends mirrored, as torch.stft.

    waveform: (b, n), n > fft // 2 -> complex (b, fft // 2 + 1, 1 + n // hop)
    """

    def __init__(
        self, fft_samples: int, hop_samples: int, window_samples: int, window: Window = "hann"
    ):
        super().__init__()
        self.fft_samples = fft_samples
        self.hop_samples = hop_samples
        self.window = Table(_centred(window, window_samples, fft_samples))

    def forward(self, waveform: Float[Tensor, "b n"]) -> Complex[Tensor, "b bins frames"]:
        half = self.fft_samples // 2
        padded = F.pad(waveform[:, None], (half, half), mode="reflect")[:, 0]
        frames = padded.unfold(1, self.fft_samples, self.hop_samples)
        return torch.fft.rfft(frames * self.window.values).mT


class InverseStft(nn.Module):
    """The waveform of a spectrum, equal to torch.istft, as one transposed convolution.

    Each frame adds its windowed inverse DFT at its place; the sum is divided by that of the squared
    windows (Griffin and Lim 1984). Nothing but convolutions: it exports where torch.istft does not.

    real, imaginary: (b, fft // 2 + 1, frames) -> (b, hop (frames - 1)), one more where fft is odd;
    `samples` asks for another length, up to fft // 2 more than that.
    """

    def __init__(
        self, fft_samples: int, hop_samples: int, window_samples: int, window: Window = "hann"
    ):
        super().__init__()
        self.fft_samples = fft_samples
        self.hop_samples = hop_samples
        values = _centred(window, window_samples, fft_samples)
        turn = np.arange(fft_samples // 2 + 1)[:, None] * np.arange(fft_samples)
        angle = 2 * np.pi * (turn % fft_samples) / fft_samples  # exact where the product is large
        # a real signal's spectrum has two halves: all but the ends of the half we hold count twice
        twice = np.full((fft_samples // 2 + 1, 1), 2.0)
        twice[0] = 1
        if fft_samples % 2 == 0:
            twice[-1] = 1
        waves = np.concatenate((twice * np.cos(angle), -twice * np.sin(angle))) / fft_samples
        self.waves = Table((waves * values)[:, None])
        self.envelope = Table((values**2)[None, None])

    def forward(
        self,
        real: Float[Tensor, "b bins frames"],
        imaginary: Float[Tensor, "b bins frames"],
        samples: int | None = None,
    ) -> Float[Tensor, "b n"]:
        kind = real.device.type
        if torch.is_autocast_enabled(kind):  # a sum of waves in half precision is mostly noise
            with torch.autocast(kind, enabled=False):
                return self(real.float(), imaginary.float(), samples)
        parts = torch.cat((real, imaginary), dim=1)
        total = F.conv_transpose1d(parts, self.waves.values, stride=self.hop_samples)
        frames = torch.ones_like(real[:1, :1])
        weight = F.conv_transpose1d(frames, self.envelope.values, stride=self.hop_samples)
        half = self.fft_samples // 2
        if samples is None:
            samples = self.hop_samples * (real.shape[-1] - 1) + self.fft_samples % 2
        inside = slice(half, half + samples)
        return (total[..., inside] / weight[..., inside].clamp(min=1e-11))[:, 0]


def _centred(window: Window, window_samples: int, fft_samples: int) -> np.ndarray:
    """A window in the middle of the FFT's samples."""
    left = (fft_samples - window_samples) // 2
    values = window_values(window, window_samples)
    return np.pad(values, (left, fft_samples - window_samples - left))
