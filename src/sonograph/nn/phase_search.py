"""A vocoder that learns nothing: bins behind the bands, phases by Griffin-Lim.

What any log-mel can be heard with, and what a trained vocoder has to be better than. Slower than a
small trained one, and hoarse; but it says what is in the features, whoever made them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.audio.griffin_lim import GriffinLim, behind_bands
from sonograph.audio.mel import mel_bank
from sonograph.audio.table import Table
from sonograph.errors import InputError
from sonograph.nn.vocoder import Vocoder

NAME = "griffin-lim"  # by which verbs know it
FEWEST = 4  # frames that phases are sought for


class PhaseSearch(Vocoder):
    """Log-mel features (b, rows, frames) to sound (b, frames * hop), the same every time.

    rounds: of Griffin-Lim. updates: of the search for the bins behind the bands. Raises InputError
    for features that are no plain log-mel.

    >>> from sonograph.audio.speech_features import voice_spec
    >>> PhaseSearch(voice_spec(), rounds=2)(torch.full((1, 80, 5), -6.0)).shape
    torch.Size([1, 1280])
    """

    context_frames = None

    def __init__(self, spec: FeatureSpec, rounds: int = 32, updates: int = 16):
        super().__init__()
        if spec.kind != "log_mel" or spec.log == "none" or spec.deltas or spec.log_offset:
            raise InputError(f"{NAME} hears log-mel features only, not {spec.kind}")
        if spec.normalise != "fixed" or spec.window_samples != spec.fft_samples:
            raise InputError(f"{NAME} needs plain features whose window is as long as the FFT")
        self.spec, self.updates, self.name = spec, updates, NAME
        bank = mel_bank(
            spec.bins,
            spec.fft_samples,
            spec.rate_hz,
            spec.low_hz,
            spec.high_hz,
            spec.mel_scale,
            spec.mel_norm,
        )
        self.bank = Table(bank)
        self.phases = GriffinLim(spec.fft_samples, spec.hop_samples, rounds)
        # of the frames' middles behind those of frames that are centred on multiples of the hop
        self.shift = spec.fft_samples // 2 - spec.margin_samples

    def forward(
        self, features: Float[Tensor, "b rows t"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n"]:
        spec, frames = self.spec, features.shape[2]
        if frames < FEWEST:
            features = torch.nn.functional.pad(features, (0, FEWEST - frames), mode="replicate")
        samples = features.shape[2] * spec.hop_samples - max(self.shift, 1)
        sound = self.phases(self.magnitudes(features), samples)
        left = self.shift
        sound = torch.nn.functional.pad(sound, (left, max(self.shift, 1) - left))
        return sound[:, : frames * spec.hop_samples]

    def magnitudes(self, features: Float[Tensor, "b rows t"]) -> Float[Tensor, "b bins t"]:
        """|X| of each FFT bin and frame."""
        spec = self.spec
        unit = {"ln": 1.0, "log10": 1 / math.log(10), "db": 20 / (spec.power * math.log(10))}
        raw = ((features * spec.deviation + spec.mean) / unit[spec.log]).exp()
        found = behind_bands(raw, self.bank.values, self.updates)
        return found.clamp(min=0) ** (1 / spec.power) / spec.waveform_scale
