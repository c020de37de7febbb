"""Waveforms from magnitudes alone: Griffin-Lim, and the way back from mel energies.

Griffin and Lim, "Signal Estimation from Modified Short-Time Fourier Transform", 1984; with the
momentum of Perraudin, Balazs and Søndergaard, "A Fast Griffin-Lim Algorithm", 2013.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from sonograph.audio.mel import MelNorm, MelScale, mel_bank
from sonograph.audio.stft import Stft
from sonograph.audio.table import Table
from sonograph.errors import InputError


class GriffinLim(nn.Module):
    """The waveform whose short-time spectrum has nearly these magnitudes.

    magnitudes: (b, fft // 2 + 1, frames) -> (b, samples), at most fft // 2 samples more than
    hop (frames - 1). Phases start at random from the generator; without one, at 0.

    momentum: how far each step goes on in the direction of the last; 0 is the algorithm of 1984.

    >>> GriffinLim(64, 16, rounds=2)(torch.ones(1, 33, 5), 64).shape
    torch.Size([1, 64])
    """

    def __init__(
        self, fft_samples: int, hop_samples: int, rounds: int = 32, momentum: float = 0.99
    ):
        super().__init__()
        if rounds < 1 or momentum < 0:
            raise InputError(f"{rounds} rounds, momentum {momentum}: give at least 1 and 0")
        self.stft = Stft(fft_samples, hop_samples, fft_samples)
        self.rounds, self.momentum = rounds, momentum

    def forward(
        self,
        magnitudes: Float[Tensor, "b bins frames"],
        samples: int,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b n"]:
        angles = torch.zeros_like(magnitudes)
        if generator is not None:
            turns = torch.rand(magnitudes.shape, generator=generator)
            angles = 2 * torch.pi * turns.to(magnitudes)
        spectrum = torch.polar(magnitudes, angles)
        before = torch.zeros_like(spectrum)
        for _ in range(self.rounds):
            now = self.stft(self.inverse(spectrum, samples))
            ahead = now - before * (self.momentum / (1 + self.momentum))
            spectrum = magnitudes * ahead / ahead.abs().clamp(min=1e-16)
            before = now
        return self.inverse(spectrum, samples)

    def inverse(
        self, spectrum: Complex[Tensor, "b bins frames"], samples: int
    ) -> Float[Tensor, "b n"]:
        # equal to InverseStft, which is made to be exported: by FFT it is many times as fast
        stft = self.stft
        window = stft.window.values
        return torch.istft(
            spectrum, stft.fft_samples, stft.hop_samples, window=window, length=samples
        )


class MelResynthesis(nn.Module):
    """A waveform through its log-mel and back: what a spectrogram vocoder cannot but lose.

    waveform: (b, n), n > fft // 2 -> (b, n). Mel energies at least `floor`, as in a logarithm; the
    energies of FFT bins behind them by Lee and Seung's multiplicative updates for non-negative
    least squares (2001); phases by Griffin-Lim.
    """

    def __init__(
        self,
        rate_hz: int,
        fft_samples: int = 1024,
        hop_samples: int = 256,
        bins: int = 80,
        rounds: int = 32,
        updates: int = 16,
        floor: float = 1e-5,
        mel_scale: MelScale = "slaney",
        mel_norm: MelNorm = "slaney",
    ):
        super().__init__()
        bank = mel_bank(bins, fft_samples, rate_hz, 0.0, rate_hz / 2, mel_scale, mel_norm)
        self.bank = Table(bank)
        self.phases = GriffinLim(fft_samples, hop_samples, rounds)
        self.updates, self.floor = updates, floor

    def forward(
        self, waveform: Float[Tensor, "b n"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n"]:
        least = self.phases.stft.fft_samples // 2
        if waveform.shape[1] <= least:
            raise InputError(f"{waveform.shape[1]} samples are too few: give more than {least}")
        power = self.phases.stft(waveform).abs().square()
        mel = (self.bank.values @ power).clamp(min=self.floor)
        return self.phases(self.energies(mel).sqrt(), waveform.shape[1], generator)

    def energies(self, mel: Float[Tensor, "b bands frames"]) -> Float[Tensor, "b bins frames"]:
        """Energies of FFT bins, none negative, whose mel energies come near these."""
        return behind_bands(mel, self.bank.values, self.updates)


def behind_bands(
    bands: Float[Tensor, "b bands frames"], bank: Float[Tensor, "bands bins"], updates: int
) -> Float[Tensor, "b bins frames"]:
    """Values of FFT bins, none negative, that a bank makes nearly these bands of.

    Multiplicative updates for non-negative least squares (Lee and Seung 2001).
    """
    target, both = bank.T @ bands, bank.T @ bank
    found = target / both.sum(1, keepdim=True).clamp(min=1e-12)
    for _ in range(updates):
        found = found * target / (both @ found).clamp(min=1e-12)
    return found
