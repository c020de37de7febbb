"""L1 of complex spectra at several resolutions, and of the waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.stft import window_values
from sonograph.audio.table import Table
from sonograph.errors import InputError

WINDOWS = (4096, 2048, 1024, 512, 256)
HOPS = (147, 147, 147, 147, 147)


class ComplexStft(nn.Module):
    """Sum over window lengths of the mean modulus of the difference of two complex spectra.

    made, wanted: (..., n) -> scalar. Each Hann window stands in the middle of an FFT of at least
    `fft_samples`; frames are centred and the ends mirrored. A spectrum is linear in its sound, so
    one transform of the difference serves for both. Lu et al. 2023 (BS-RoFormer), equation 2.
    """

    def __init__(
        self,
        fft_samples: int = 2048,
        windows: Sequence[int] = WINDOWS,
        hops: Sequence[int] = HOPS,
    ):
        super().__init__()
        if len(windows) != len(hops):
            raise InputError(f"{len(windows)} loss windows but {len(hops)} hops: one a window")
        self.fft_samples, self.hops = fft_samples, tuple(hops)
        self.windows = nn.ModuleList(Table(window_values("hann", size)) for size in windows)

    def forward(
        self, made: Float[Tensor, "*batch n"], wanted: Float[Tensor, "*batch n"]
    ) -> Float[Tensor, ""]:
        difference = (made - wanted).flatten(0, -2)
        total = difference.new_zeros(())
        for window, hop in zip(self.windows, self.hops):
            values = cast(Table, window).values
            size = len(values)
            fft = max(size, self.fft_samples)
            spectrum = torch.stft(difference, fft, hop, size, values, return_complex=True)
            total = total + spectrum.abs().mean()
        return total
