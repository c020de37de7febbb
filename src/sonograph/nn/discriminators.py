"""Discriminators of waveforms: by period, by scale, by spectral resolution.

Each takes (b, n) and gives `Judged`: a score map a sub-discriminator and the maps on the way to it.
Sources: HiFi-GAN (Kong et al. 2020, 2.4: period and scale), MelGAN (scale), UnivNet (Jang et al.
2021, 2.3: resolution). Names of weights are those of jik876/hifi-gan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.stft import window_values
from sonograph.audio.table import Table
from sonograph.config import Config
from sonograph.nn.weight_norm import weight_norm

SLOPE = 0.1


class Judged(NamedTuple):
    """Of each sub-discriminator: its scores (b, k), and its feature maps, the scores' own last."""

    scores: list[Tensor]
    maps: list[list[Tensor]]


@dataclass(frozen=True)
class Critics(Config):
    """Which discriminators a vocoder learns against; the defaults are HiFi-GAN's."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    scales: int = 3  # waveform, and its averages over 2, 4, ... samples
    resolutions: tuple[tuple[int, int, int], ...] = ()  # FFT, hop, window samples
    width: float = 1.0  # factor of the channels of all of them


class PeriodDiscriminator(nn.Module):
    """Looks at every p-th sample: the waveform as a picture of p columns, kernels along its height.

    Mirrored at the right to a multiple of p. Channels 32, 128, 512, 1024, 1024 (times width).
    """

    def __init__(self, period: int, width: float = 1.0):
        super().__init__()
        self.period = period
        sizes = [1, *(_channels(c, width) for c in (32, 128, 512, 1024, 1024))]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(c, d, (5, 1), (3 if i < 4 else 1, 1), (2, 0)))
            for i, (c, d) in enumerate(itertools.pairwise(sizes))
        )
        self.conv_post = weight_norm(nn.Conv2d(sizes[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Tensor, list[Tensor]]:
        missing = -waveform.shape[1] % self.period
        x = waveform[:, None]
        if missing:
            x = F.pad(x, (0, missing), mode="reflect")
        x = x.unflatten(2, (-1, self.period))
        return _judge(self.convs, self.conv_post, x)


class ScaleDiscriminator(nn.Module):
    """Grouped convolutions over the waveform; `spectral` norm instead of weight norm on the first.

    Channels 128, 128, 256, 512, 1024, 1024, 1024 (times width).
    """

    LAYERS = (  # out, kernel, stride, groups
        (128, 15, 1, 1),
        (128, 41, 2, 4),
        (256, 41, 2, 16),
        (512, 41, 4, 16),
        (1024, 41, 4, 16),
        (1024, 41, 1, 16),
        (1024, 5, 1, 1),
    )

    def __init__(self, norm: str, width: float = 1.0):
        super().__init__()
        normalised = nn.utils.spectral_norm if norm == "spectral" else weight_norm
        convs, before = [], 1
        for out, kernel, stride, groups in self.LAYERS:
            channels = _channels(out, width)
            shared = math.gcd(groups, math.gcd(before, channels))
            convs.append(
                normalised(nn.Conv1d(before, channels, kernel, stride, kernel // 2, groups=shared))
            )
            before = channels
        self.convs = nn.ModuleList(convs)
        self.conv_post = normalised(nn.Conv1d(before, 1, 3, 1, 1))

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Tensor, list[Tensor]]:
        return _judge(self.convs, self.conv_post, waveform[:, None])


class ResolutionDiscriminator(nn.Module):
    """Convolutions over the magnitude of a short-time Fourier transform (UnivNet, 2.3).

    32 channels (times width), kernels 9 bins wide and 3 frames long.
    """

    def __init__(self, fft_samples: int, hop_samples: int, window_samples: int, width: float = 1.0):
        super().__init__()
        self.sizes = (fft_samples, hop_samples, window_samples)
        self.window = Table(window_values("hann", window_samples))
        c = _channels(32, width)
        layers = [(1, (3, 9), 1), *[(c, (3, 9), 2)] * 3, (c, (3, 3), 1)]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(i, c, k, (1, s), (1, k[1] // 2))) for i, k, s in layers
        )
        self.conv_post = weight_norm(nn.Conv2d(c, 1, (3, 3), 1, 1))

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Tensor, list[Tensor]]:
        fft, hop, size = self.sizes
        edge = (fft - hop) // 2
        padded = F.pad(waveform[:, None], (edge, edge), mode="reflect")[:, 0]
        spectrum = torch.stft(
            padded, fft, hop, size, self.window.values, center=False, return_complex=True
        )
        return _judge(self.convs, self.conv_post, spectrum.abs().mT[:, None])


class PeriodDiscriminators(nn.Module):
    """HiFi-GAN's multi-period discriminator (MPD); waveform (b, n) -> Judged."""

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), width: float = 1.0):
        super().__init__()
        self.discriminators = nn.ModuleList(PeriodDiscriminator(p, width) for p in periods)

    def forward(self, waveform: Float[Tensor, "b n"]) -> Judged:
        return _gathered([one(waveform) for one in self.discriminators])


class ScaleDiscriminators(nn.Module):
    """HiFi-GAN's multi-scale discriminator (MSD): each scale averages 4 samples at every second."""

    def __init__(self, scales: int = 3, width: float = 1.0):
        super().__init__()
        norms = ["spectral", *["weight"] * (scales - 1)]
        self.discriminators = nn.ModuleList(ScaleDiscriminator(norm, width) for norm in norms)

    def forward(self, waveform: Float[Tensor, "b n"]) -> Judged:
        found = []
        for k, one in enumerate(self.discriminators):
            if k:
                waveform = F.avg_pool1d(waveform[:, None], 4, 2, padding=2)[:, 0]
            found.append(one(waveform))
        return _gathered(found)


class ResolutionDiscriminators(nn.Module):
    """UnivNet's multi-resolution discriminator (MRD); waveform (b, n) -> Judged."""

    def __init__(self, resolutions: Sequence[tuple[int, int, int]], width: float = 1.0):
        super().__init__()
        self.discriminators = nn.ModuleList(
            ResolutionDiscriminator(*sizes, width) for sizes in resolutions
        )

    def forward(self, waveform: Float[Tensor, "b n"]) -> Judged:
        return _gathered([one(waveform) for one in self.discriminators])


class Discriminators(nn.Module):
    """All that `critics` asks for, as one: waveform (b, n) -> Judged."""

    def __init__(self, critics: Critics):
        super().__init__()
        self.kinds = nn.ModuleDict()
        if critics.periods:
            self.kinds["mpd"] = PeriodDiscriminators(critics.periods, critics.width)
        if critics.scales:
            self.kinds["msd"] = ScaleDiscriminators(critics.scales, critics.width)
        if critics.resolutions:
            self.kinds["mrd"] = ResolutionDiscriminators(critics.resolutions, critics.width)

    def forward(self, waveform: Float[Tensor, "b n"]) -> Judged:
        found = [kind(waveform) for kind in self.kinds.values()]
        return Judged(
            [s for one in found for s in one.scores], [m for one in found for m in one.maps]
        )


def _channels(count: int, width: float) -> int:
    """Narrower discriminators keep at least 4 channels."""
    return max(4, round(count * width))


def _judge(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    maps = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        maps.append(x)
    x = last(x)
    return x.flatten(1), [*maps, x]


def _gathered(found: list[tuple[Tensor, list[Tensor]]]) -> Judged:
    return Judged([scores for scores, _ in found], [maps for _, maps in found])
