"""A discriminator that sees a waveform as notes are spaced: sub-band constant-Q transforms.

Gu et al. 2024, "Multi-Scale Sub-Band Constant-Q Transform Discriminator for High-Fidelity Vocoder"
(MS-SB-CQT), in the form of BigVGAN-v2 and PeriodWave-Turbo: the waveform at twice its rate, the
real and imaginary parts of its CQT, a convolution for each octave of its own, then convolutions
over all of them.

Shapes: waveform (b, n); pictures (b, channels, frames, bins).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.cqt import ConstantQ
from sonograph.nn.discriminators import SLOPE, Judged
from sonograph.nn.weight_norm import weight_norm

LOW_HZ = 32.70  # C1, from which octaves are counted
KERNEL = (3, 9)  # frames and bins


class View(NamedTuple):
    """One CQT: samples between frames at the doubled rate, bins an octave, octaves at most."""

    hop_samples: int
    bins_per_octave: int
    octaves: int = 9


PUBLISHED = (View(512, 24), View(256, 36), View(256, 48))


def doubled(waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
    """The waveform at twice its rate, m = 2 n, by its spectrum: nothing above the old Nyquist.

    >>> doubled(torch.tensor([[1.0, 0.0, -1.0, 0.0]]))[0, ::2].round(decimals=3).tolist()
    [1.0, 0.0, -1.0, 0.0]
    """
    n = waveform.shape[1]
    spectrum = torch.fft.rfft(waveform)
    if n % 2 == 0:  # the bin of the old Nyquist becomes two
        spectrum = torch.cat([spectrum[:, :-1], spectrum[:, -1:] / 2], dim=1)
    return torch.fft.irfft(2 * spectrum, n=2 * n)


class ConstantQDiscriminator(nn.Module):
    """One view. Octaves that reach above the doubled Nyquist are left out (rates below 17 kHz).

    waveform (b, n) -> scores (b, k), feature maps. Silence is assumed around it. Every octave is
    transformed at the full rate, the lowest in frames of some 10^5 samples: in training on long
    crops this wants a large memory.
    """

    def __init__(self, rate_hz: int, view: View, channels: int = 128):
        super().__init__()
        octaves = min(view.octaves, int(math.log2(rate_hz / LOW_HZ)))
        bins = octaves * view.bins_per_octave
        self.cqt = ConstantQ(
            2 * rate_hz, view.hop_samples, LOW_HZ, bins, view.bins_per_octave, 1.0, "hann", 2.0
        )
        self.octaves = nn.ModuleList(
            nn.Conv2d(2, 2, KERNEL, padding=(1, 4)) for _ in range(octaves)
        )
        sizes = [(2, KERNEL, 1, 1), *((channels, KERNEL, 2, d) for d in (1, 2, 4))]
        sizes.append((channels, (3, 3), 1, 1))
        self.convs = nn.ModuleList(
            weight_norm(
                nn.Conv2d(
                    i, channels, k, (1, s), padding=(k[0] // 2 * d, k[1] // 2), dilation=(d, 1)
                )
            )
            for i, k, s, d in sizes
        )
        self.conv_post = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)))

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Tensor, list[Tensor]]:
        twice = doubled(waveform)
        frames = 1 + twice.shape[1] // self.cqt.hop_samples
        padded = F.pad(twice, (self.cqt.reach, self.cqt.reach))
        rows = [
            octave(torch.view_as_real(part).movedim(-1, 1).mT)  # (b, 2, frames, bins)
            for octave, part in zip(self.octaves, self.cqt.coefficients(padded, frames))
        ]
        x, maps = torch.cat(rows, dim=3), []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), SLOPE)
            maps.append(x)
        x = self.conv_post(x)
        return x.flatten(1), [*maps, x]


class ConstantQDiscriminators(nn.Module):
    """All views; waveform (b, n) -> Judged."""

    def __init__(self, rate_hz: int, views: Sequence[View] = PUBLISHED, channels: int = 128):
        super().__init__()
        self.discriminators = nn.ModuleList(
            ConstantQDiscriminator(rate_hz, view, channels) for view in views
        )

    def forward(self, waveform: Float[Tensor, "b n"]) -> Judged:
        found = [one(waveform) for one in self.discriminators]
        return Judged([scores for scores, _ in found], [maps for _, maps in found])
