"""What PeriodWave learns from: flow matching; then, for few steps, its own sound (Turbo)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.audio.feature_spec import Frontend
from sonograph.audio.wavelet import packets
from sonograph.errors import InputError
from sonograph.losses.adversarial import discriminator_loss, feature_loss, generator_loss
from sonograph.losses.spectral import MultiScaleMel
from sonograph.nn.cqt_discriminator import PUBLISHED, ConstantQDiscriminators, View
from sonograph.nn.discriminators import Critics, Discriminators
from sonograph.nn.flow_matching import velocity_loss
from sonograph.systems.vocode.periodwave.model import PeriodWave, Sampling


class Pretraining(nn.Module):
    """Conditional flow matching on waveforms; the front-end works here.

    batch: "waveform" (b, n) at the spec's rate, "lengths" (b,) -> {"loss"}: the mean of
    ((predicted - target velocity) / deviation of the noise)^2 over valid samples, deviation 1
    without the energy prior. Samples beyond a clip's end are silence to the model.
    """

    def __init__(self, vocoder: PeriodWave):
        super().__init__()
        if vocoder.config.code_rows:
            raise InputError("a vocoder of codes has no front-end: call `loss` with its codes")
        self.vocoder, self.spec = vocoder, vocoder.spec
        self.frontend = Frontend(vocoder.spec)

    def forward(
        self, batch: Mapping[str, Any], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        waveform, lengths = whole_hops(self.vocoder, batch["waveform"]), batch["lengths"]
        with torch.no_grad():
            features = self.frontend(waveform).values
        noise = self.vocoder.draw(features, generator)
        t = torch.rand(len(waveform), generator=generator).to(waveform)
        return loss(self.vocoder, features, waveform, lengths, noise, t)

    def describe(self) -> dict[str, Any]:
        return self.vocoder.describe()


def loss(
    vocoder: PeriodWave,
    features: Float[Tensor, "b rows frames"],
    waveform: Float[Tensor, "b n"],
    lengths: Int64[Tensor, "b"],
    noise: Float[Tensor, "b bands m"],
    t: Float[Tensor, "b"],
) -> dict[str, Tensor]:
    """The flow-matching loss of given draws: unit noise, and a time for each clip.

    n = frames * hop. With bands, the mean of theirs; those below are given as they truly are.
    The scaled loss of equation 8 where there is an energy prior.
    """
    config, path = vocoder.config, vocoder.path
    inside = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
    truth = waveform * inside
    bands = truth[:, None] if config.bands == 1 else packets(truth)
    mask = inside[:, :: config.bands]
    conditioned, deviation = vocoder.conditioned(features)
    losses = []
    for band in range(config.bands):
        x0, x1 = noise[:, band] * config.noise_scale * deviation * mask, bands[:, band]
        velocity = vocoder.velocity(band, conditioned, bands[:, :band])
        predicted, target = velocity(path.at(x0, x1, t), t), path.velocity(x0, x1)
        everywhere = config.energy is None  # the EnCodec form's loss is over padding too
        losses.append(velocity_loss(predicted, target, deviation, None if everywhere else mask))
    return {"loss": torch.stack(losses).mean()}


def whole_hops(vocoder: PeriodWave, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
    """The waveform with silence at its end, up to whole frames."""
    return nn.functional.pad(waveform, (0, -waveform.shape[1] % vocoder.config.hop_samples))


CRITICS = Critics(scales=0)  # Turbo's: the multi-period one, beside the constant-Q one


class Turbo(nn.Module):
    """Few fixed steps as one generator, against discriminators (PeriodWave-Turbo).

    batch: "waveform" (b, n), n a multiple of the hop. The vocoder comes from flow matching; its
    steps are unrolled from noise of temperature 1, gradients flow through all of them. views: of
    the constant-Q discriminator.
    """

    TURNS = ("discriminators.", "vocoder.")

    def __init__(
        self,
        vocoder: PeriodWave,
        sampling: Sampling,
        critics: Critics = CRITICS,
        views: Sequence[View] = PUBLISHED,
    ):
        super().__init__()
        self.vocoder, self.sampling, self.spec = vocoder, sampling, vocoder.spec
        self.frontend = Frontend(vocoder.spec)
        self.discriminators = Discriminators(critics)
        if views:
            self.discriminators.kinds["cqt"] = ConstantQDiscriminators(vocoder.spec.rate_hz, views)
        self.mel = MultiScaleMel(vocoder.spec.rate_hz)

    def made(
        self, waveform: Float[Tensor, "b n"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n"]:
        """What the vocoder makes of the waveform's own features."""
        with torch.no_grad():
            features = self.frontend(waveform).values
        return self.vocoder.sample(features, self.sampling, self.vocoder.draw(features, generator))

    def turns(
        self, batch: Mapping[str, Any], generator: torch.Generator | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """First the discriminators' loss, then the vocoder's: 45 mel + adversarial + 2 features."""
        waveform = batch["waveform"]
        made = self.made(waveform, generator)
        real, fake = self.discriminators(waveform), self.discriminators(made.detach())
        yield {"loss": discriminator_loss(real.scores, fake.scores)}
        with torch.no_grad():
            real = self.discriminators(waveform)
        fake = self.discriminators(made)
        adversarial, mel = generator_loss(fake.scores), self.mel(made, waveform)
        matching = feature_loss(real.maps, fake.maps)
        total = 45 * mel + adversarial + 2 * matching
        yield {"loss": total, "adversarial": adversarial, "features": matching, "mel": mel}

    def regression(
        self, batch: Mapping[str, Any], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The multi-scale mel distance alone: a cheap form without discriminators."""
        made = self.made(batch["waveform"], generator)
        return {"loss": self.mel(made, batch["waveform"])}

    def describe(self) -> dict[str, Any]:
        return self.vocoder.describe()
