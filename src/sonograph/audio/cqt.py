"""The constant-Q transform: bins spaced as notes are, each seen through a window of equal cycles.

J. C. Brown, "Calculation of a constant Q spectral transform" (1991), computed in the frequency
domain (Brown and Puckette 1992) at the full sample rate: no decimation between octaves, so nothing
depends on a resampler. Normalised as librosa's `cqt` (L1 wavelets, scale=True).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from sonograph.audio.stft import Window, window_values
from sonograph.audio.table import Table

BLOCK_SAMPLES = 1 << 19  # samples in all frames of a block
NEGLIGIBLE = 1e-7  # spectrum of a wavelet relative to its peak


@dataclass(frozen=True)
class Octave:
    """Bins that share an FFT: its size, and the FFT bins [low, high) that their wavelets touch."""

    fft_samples: int
    low: int
    high: int


class ConstantQ(nn.Module):
    """|CQT|^power of a waveform that is padded by `reach` on both sides; frames centred on t hop.

    Bin k lies at low_hz 2^(k / bins_per_octave) and takes Q rate / f samples.
    """

    def __init__(
        self,
        rate_hz: int,
        hop_samples: int,
        low_hz: float,
        bins: int,
        bins_per_octave: int,
        waveform_scale: float,
        window: Window,
        power: float,
    ):
        super().__init__()
        self.hop_samples = hop_samples
        self.power = power
        self.octaves: list[Octave] = []
        tables = []
        frequencies = low_hz * 2 ** (np.arange(bins) / bins_per_octave)
        for first in range(0, bins, bins_per_octave):
            octave, spectra = _octave(
                frequencies[first : first + bins_per_octave], rate_hz, bins_per_octave, window
            )
            self.octaves.append(octave)
            tables.append(Table(waveform_scale * np.stack((spectra.real, spectra.imag), axis=-1)))
        self.spectra = nn.ModuleList(tables)
        self.reach = self.octaves[0].fft_samples // 2

    def forward(
        self, waveform: Float[Tensor, "b n"], frames: int, finish: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "b bins frames"]:
        """The first `frames` frames; `finish` is applied to every block of the result."""
        rows = [
            self._octave(waveform, frames, octave, table.get_buffer("values"), finish)
            for octave, table in zip(self.octaves, self.spectra)
        ]
        return torch.cat(rows, dim=1)

    def coefficients(
        self, waveform: Float[Tensor, "b n"], frames: int
    ) -> list[Complex[Tensor, "b bins frames"]]:
        """The CQT itself, octave by octave, of the same padded waveform; gradients flow."""
        found = []
        for octave, table in zip(self.octaves, self.spectra):
            size, start = octave.fft_samples, self.reach - octave.fft_samples // 2
            here = waveform[:, start : start + (frames - 1) * self.hop_samples + size]
            spectra = torch.view_as_complex(table.get_buffer("values"))
            found.append(_answers(here, self.hop_samples, octave, spectra))
        return found

    def _octave(
        self,
        waveform: Float[Tensor, "b n"],
        frames: int,
        octave: Octave,
        parts: Float[Tensor, "bins used two"],
        finish: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "b bins frames"]:
        spectra = torch.view_as_complex(parts)
        size = octave.fft_samples
        tiny = torch.finfo(waveform.dtype).tiny
        step = max(1, BLOCK_SAMPLES // (size * len(waveform)))
        blocks = []
        for begin in range(0, frames, step):
            count = min(step, frames - begin)
            start = self.reach - size // 2 + begin * self.hop_samples
            here = waveform[:, start : start + (count - 1) * self.hop_samples + size]
            answer = _answers(here, self.hop_samples, octave, spectra)
            energy = torch.view_as_real(answer).square().sum(-1)
            if self.power != 2:  # the root of 0 has no gradient
                energy = energy.clamp(min=tiny) ** (self.power / 2)
            blocks.append(finish(energy))
        return (
            torch.cat(blocks, dim=-1)
            if blocks
            else waveform.new_zeros(len(waveform), len(spectra), 0)
        )


def _answers(
    waveform: Float[Tensor, "b n"],
    hop_samples: int,
    octave: Octave,
    spectra: Complex[Tensor, "bins used"],
) -> Complex[Tensor, "b bins frames"]:
    """Of every frame of `octave.fft_samples` samples, what each wavelet answers."""
    spectrum = torch.fft.rfft(waveform.unfold(1, octave.fft_samples, hop_samples))
    return spectra @ spectrum[..., octave.low : octave.high].mT


def _octave(
    frequencies: np.ndarray, rate_hz: int, bins_per_octave: int, window: Window
) -> tuple[Octave, np.ndarray]:
    """The FFT size for some bins, and the weights of its bins for each of them."""
    ratio = 2 ** (2 / bins_per_octave)
    quality = (ratio + 1) / (ratio - 1)
    lengths = quality * rate_hz / frequencies
    size = 1 << int(np.ceil(np.log2(lengths.max())))
    wavelets = np.zeros((len(frequencies), size), complex)
    for wavelet, frequency, length in zip(wavelets, frequencies, lengths):
        place = np.arange(-np.ceil(length / 2), np.floor(length / 2)).astype(int)
        values = window_values(window, len(place)) * np.exp(
            2j * np.pi * frequency / rate_hz * place
        )
        wavelet[place + size // 2] = np.sqrt(length) * values / np.abs(values).sum()
    # Parseval: sum x conj(w) = sum X conj(W) / size, over the positive half where W lives
    spectra = np.fft.fft(wavelets)[:, : size // 2 + 1].conj() / size
    loud = np.abs(spectra).max(axis=0)
    used = np.flatnonzero(loud > NEGLIGIBLE * loud.max())
    low, high = int(used[0]), int(used[-1]) + 1
    return Octave(size, low, high), spectra[:, low:high]
