"""Vocoders: features in, a waveform out; what they draw at random is an input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.errors import InputError
from sonograph.exports.listening import noises
from sonograph.exports.ports import BATCH, Draw, Length, Port, Surface

if TYPE_CHECKING:
    from sonograph.nn.vocoder import Vocoder
    from sonograph.systems.vocode.periodwave.model import PeriodWave

USUAL_FRAMES = 64


class Vocoding(nn.Module):
    """features (b, rows, t) -> waveform (b, t hop)."""

    def __init__(self, vocoder: Vocoder):
        super().__init__()
        self.vocoder = vocoder

    def forward(self, features: Float[Tensor, "b rows t"]) -> tuple[Tensor]:
        return (self.vocoder(features),)


class VocodingFromNoise(nn.Module):
    """features (b, rows, t), noise (b, bands, t, k) of deviation 1 -> waveform (b, t hop).

    k: samples of a band a frame. As `PeriodWave.forward`, with its noise given.
    """

    def __init__(self, vocoder: PeriodWave):
        super().__init__()
        self.vocoder = vocoder

    def forward(
        self, features: Float[Tensor, "b rows t"], noise: Float[Tensor, "b bands t k"]
    ) -> tuple[Tensor]:
        from sonograph.systems.vocode.periodwave.model import PEAK

        sound = self.vocoder.sample(features, self.vocoder.config.sampling, noise.flatten(2))
        peak = sound.abs().amax(dim=1, keepdim=True)
        return (torch.where(peak >= PEAK, sound * PEAK / peak.clamp(min=PEAK), sound),)


def vocoder_surface(vocoder: Vocoder) -> Surface:
    from sonograph.systems.speak.sv2tts.wavernn import Conditioned
    from sonograph.systems.vocode.periodwave.model import PeriodWave

    if isinstance(vocoder, Conditioned):
        raise InputError(
            f"no format carries a {type(vocoder).__name__}: it says one sample after another, and "
            "followed once that is a graph of as many steps as samples; export another vocoder"
        )
    spec = vocoder.spec
    inputs: tuple[Port, ...] = (
        Port("features", (BATCH, spec.rows, "frames"), "as `features` says"),
    )
    module: nn.Module = Vocoding(vocoder)
    draw = features_of_noise(spec)
    if isinstance(vocoder, PeriodWave):
        bands = vocoder.config.bands
        shape = (BATCH, bands, "frames", vocoder.config.hop_samples // bands)
        module = VocodingFromNoise(vocoder)
        inputs = (*inputs, Port("noise", shape, "normal, of deviation 1"))
        draw = _beside(draw, bands, vocoder.config.hop_samples // bands)
    return Surface(
        "vocoder",
        module,
        inputs,
        (Port("waveform", (BATCH, "samples"), f"{spec.hop_samples} samples a frame"),),
        Length("frames", USUAL_FRAMES, least=8),
        draw,
        {"rate_hz": spec.rate_hz, "hop_samples": spec.hop_samples, "features": spec.to_dict()},
    )


def features_of_noise(spec: FeatureSpec) -> Draw:
    """What sounds of noise and tones look like to a vocoder."""
    frontend, sounds = Frontend(spec), noises()

    def draw(clips: int, length: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        samples = max(spec.samples(length), spec.fft_samples)
        return (frontend(sounds(clips, samples, generator)[0]).values[..., :length],)

    return draw


def _beside(draw: Draw, bands: int, each: int) -> Draw:
    """The same, and noise."""

    def both(clips: int, length: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        noise = torch.randn((clips, bands, length, each), generator=generator)
        return (*draw(clips, length, generator), noise)

    return both
