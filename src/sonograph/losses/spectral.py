"""Distances of waveforms seen through their spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, Frontend, log_mel_spec
from sonograph.audio.stft import window_values
from sonograph.audio.table import Table

RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))  # FFT, hop, window


class MelDistance(nn.Module):
    """Mean absolute difference of log-mels. HiFi-GAN takes the features, up to Nyquist, times 45.

    made, wanted: (b, n) -> scalar
    """

    def __init__(self, spec: FeatureSpec):
        super().__init__()
        self.frontend = Frontend(spec)

    @classmethod
    def full_band(cls, spec: FeatureSpec) -> MelDistance:
        """Of the features of `spec`, their bands reaching up to half the rate."""
        return cls(spec.override(high_hz=spec.rate_hz / 2))

    def forward(
        self, made: Float[Tensor, "b n"], wanted: Float[Tensor, "b n"]
    ) -> Float[Tensor, ""]:
        with torch.no_grad():
            aim = self.frontend(wanted).values
        return (self.frontend(made).values - aim).abs().mean()


class MultiScaleMel(nn.Module):
    """Sum over window lengths of the L1 distance of log10-mels (PeriodWave-Turbo; DAC).

    Windows 32 to 2048 samples, hop a quarter of each, 5 to 320 bands, floor 1e-5.
    """

    def __init__(
        self,
        rate_hz: int,
        windows: Sequence[int] = (32, 64, 128, 256, 512, 1024, 2048),
        bands: Sequence[int] = (5, 10, 20, 40, 80, 160, 320),
    ):
        super().__init__()
        self.scales = nn.ModuleList(
            MelDistance(
                log_mel_spec(rate_hz, size, size // 4, count, log="log10", log_floor=1e-5).override(
                    power=1.0
                )
            )
            for size, count in zip(windows, bands, strict=True)
        )

    def forward(
        self, made: Float[Tensor, "b n"], wanted: Float[Tensor, "b n"]
    ) -> Float[Tensor, ""]:
        return torch.stack([scale(made, wanted) for scale in self.scales]).sum()


class MultiResolutionStft(nn.Module):
    """Mean over resolutions of spectral convergence + L1 of log magnitudes.

    Yamamoto et al. 2020 (Parallel WaveGAN, 2.2, equations 4 to 6).
    """

    def __init__(self, resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS):
        super().__init__()
        self.resolutions = tuple(resolutions)
        self.windows = nn.ModuleList(
            Table(window_values("hann", size)) for _, _, size in self.resolutions
        )

    def forward(
        self, made: Float[Tensor, "b n"], wanted: Float[Tensor, "b n"]
    ) -> Float[Tensor, ""]:
        losses = []
        for (fft, hop, size), window in zip(self.resolutions, self.windows):
            ours, aim = (
                magnitude(x, fft, hop, size, cast(Table, window).values) for x in (made, wanted)
            )
            convergence = (aim - ours).norm() / aim.norm().clamp(min=1e-8)
            losses.append(convergence + F.l1_loss(ours.log(), aim.log()))
        return torch.stack(losses).mean()


def magnitude(
    waveform: Float[Tensor, "b n"], fft: int, hop: int, size: int, window: Tensor
) -> Float[Tensor, "b bins frames"]:
    """|STFT|, at least 1e-4: its root has a gradient everywhere."""
    spectrum = torch.stft(waveform, fft, hop, size, window, return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1).clamp(min=1e-8).sqrt()
