"""PeriodWave itself: energy prior, vector fields of all bands, sampling."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.audio.speech_features import hifigan_spec
from sonograph.audio.wavelet import inverse_packets
from sonograph.config import Config as BaseConfig
from sonograph.errors import InputError
from sonograph.nn.flow_matching import (
    EVALUATIONS,
    Solver,
    StraightPath,
    linear_times,
    solve,
    sway_times,
)
from sonograph.nn.vocoder import Vocoder
from sonograph.systems.vocode.periodwave.estimator import VectorField

PEAK = 0.95  # what a clip that is louder is brought down to
PART_SAMPLES = 1 << 17  # of one call of a vector field, when no gradient is asked for


@dataclasses.dataclass(frozen=True)
class Sampling(BaseConfig):
    """How noise is carried to sound."""

    steps: tuple[int, ...] = (16,)  # of each band, from the lowest
    solver: Solver = "midpoint"  # midpoint and heun ask twice a step
    temperature: float = 0.667  # of the noise
    sway: float = 0.0  # 0: equal steps; -1: more of them near the noise
    freeu: tuple[float, float] = (1.0, 1.0)  # factors of backbone and skips; FreeU is 1.1, 0.9

    def times(self, band: int) -> Float[Tensor, "points"]:
        steps = self.steps[band]
        return sway_times(steps, self.sway) if self.sway else linear_times(steps)

    @property
    def evaluations(self) -> int:
        """How often a vector field is asked, over all bands."""
        return sum(self.steps) * EVALUATIONS[self.solver]


@dataclasses.dataclass(frozen=True)
class Energy(BaseConfig):
    """The prior: noise as loud as each frame; the two ends belong to the training data."""

    low: float = 0.03162278234958649  # of sqrt(sum of mel magnitudes), the least of any frame
    high: float = 9.124345779418945
    floor: float = 0.1  # of the deviation, after scaling low to 0 and high to 1


LIBRITTS = Energy()
LJSPEECH = Energy(low=0.069023, high=5.423670)


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """Sizes are those of the 24 kHz base model."""

    features: FeatureSpec = hifigan_spec(24000, 100, 12000.0)
    width: int = 512
    periods: tuple[int, ...] = (1, 2, 3, 5, 7)
    embed_width: int = 0  # of time and of period; 0: half the width
    middle_dilations: tuple[int, ...] = (1, 2, 4)
    final_dilations: tuple[int, ...] = (1, 2, 4)
    bands: int = 1  # more: wavelet packets, a vector field for each, the lowest first
    noise_scale: float = 0.5
    energy: Energy | None = LIBRITTS  # None: noise of one deviation, and no energy row beside
    code_rows: int = 0  # more: the input is a codec's latent, not `features`
    code_hop: int = 320  # samples a code stands for
    sigma_min: float = 1e-4
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        strides = len(self.strides)
        if self.bands not in (1, 4):
            raise InputError(f"{self.bands} bands: give 1, or 4 of a two-level wavelet packet")
        if self.width % 2 ** (strides + 1):
            raise InputError(f"a width of {self.width} does not divide by {2 ** (strides + 1)}")
        if self.hop_samples % 64:
            raise InputError(f"a hop of {self.hop_samples} samples is no multiple of 64")
        if len(self.sampling.steps) != self.bands:
            raise InputError(
                f"steps {self.sampling.steps} are given for {self.bands} bands: one number each"
            )
        if not self.periods or min(self.periods) < 1:
            raise InputError(f"periods {self.periods}: give some of 1 or more samples")

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the U-Net; the wavelet takes the place of the first one."""
        return (4, 4) if self.bands == 4 else (4, 4, 4)

    @property
    def rows(self) -> int:
        """Height of the input, without the energy."""
        return self.code_rows or self.features.rows

    @property
    def hop_samples(self) -> int:
        return self.code_hop if self.code_rows else self.features.hop_samples


class PeriodWave(Vocoder):
    """Features to sound, by following a learned velocity from noise.

    features (b, rows, frames) -> (b, frames * hop). A clip depends on all of its frames and on its
    padding (`nn/convnext.py`), so clips of different lengths are vocoded one by one.

    >>> PeriodWave(Config(width=32, sampling=Sampling(steps=(1,))))(torch.zeros(1, 100, 4)).shape
    torch.Size([1, 1024])
    """

    context_frames = None

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.spec = config, config.features
        self.path = StraightPath(config.sigma_min)
        rows = config.rows + (config.energy is not None)
        self.fields = nn.ModuleList(
            VectorField(
                rows,
                config.width,
                config.periods,
                config.hop_samples // 64,
                config.strides,
                1 + band,
                config.embed_width,
                config.middle_dilations,
                config.final_dilations,
            )
            for band in range(config.bands)
        )

    def forward(
        self, features: Float[Tensor, "b rows frames"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n"]:
        sound = self.sample(features, self.config.sampling, self.draw(features, generator))
        peak = sound.abs().amax(dim=1, keepdim=True)
        return torch.where(peak >= PEAK, sound * PEAK / peak.clamp(min=PEAK), sound)

    def draw(
        self, features: Float[Tensor, "b rows frames"], generator: torch.Generator | None
    ) -> Float[Tensor, "b bands m"]:
        """Noise of deviation 1, as `sample` takes it: the same on every device."""
        bands = self.config.bands
        samples = features.shape[2] * self.config.hop_samples // bands
        noise = torch.randn(
            (len(features), bands, samples), generator=generator, dtype=torch.float32
        )
        return noise.to(features)

    def sample(
        self,
        features: Float[Tensor, "b rows frames"],
        sampling: Sampling,
        noise: Float[Tensor, "b bands m"],
    ) -> Float[Tensor, "b n"]:
        """Sound from unit noise, its peak as it comes. The condition is made once a band."""
        features, deviation = self.conditioned(features)
        done = noise[:, :0]
        for band in range(self.config.bands):
            velocity = self.velocity(band, features, done, sampling.freeu)
            start = noise[:, band] * self.config.noise_scale * deviation * sampling.temperature
            found = solve(velocity, start, sampling.times(band), sampling.solver)
            done = torch.cat([done, found[:, None]], dim=1)
        return done[:, 0] if self.config.bands == 1 else inverse_packets(done)

    def conditioned(
        self, features: Float[Tensor, "b rows frames"]
    ) -> tuple[Float[Tensor, "b r frames"], Float[Tensor, "b m"]]:
        """Features with their energy below, and the deviation of the noise at each sample (1
        everywhere where there is no prior), at the rate of one band.
        """
        if features.ndim != 3 or features.shape[1] != self.config.rows or features.shape[2] < 1:
            raise InputError(
                f"the vocoder takes (clips, {self.config.rows} rows, frames), not "
                f"{tuple(features.shape)}"
            )
        hop = self.config.hop_samples // self.config.bands
        if (energy := self.config.energy) is None:
            return features, torch.ones_like(features[:, 0]).repeat_interleave(hop, dim=1)
        frames = energy_deviation(features, energy)
        return torch.cat([features, frames[:, None]], dim=1), frames.repeat_interleave(hop, dim=1)

    def velocity(
        self,
        band: int,
        conditioned: Float[Tensor, "b r frames"],
        lower: Float[Tensor, "b below m"],
        freeu: tuple[float, float] = (1.0, 1.0),
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity of one band, (x (b, m), t () or (b,)) -> (b, m), above those below it."""
        field: Any = self.fields[band]
        conditions: Sequence[Tensor] = field.condition(conditioned)

        def at(x: Float[Tensor, "b m"], t: Tensor) -> Float[Tensor, "b m"]:
            beside = torch.cat([x[:, None], lower], dim=1)
            t = t.expand(len(x))
            if torch.is_grad_enabled() or x.shape[1] <= 2 * PART_SAMPLES:
                return field(beside, conditions, t, freeu)
            return field.by_parts(beside, conditions, t, freeu, PART_SAMPLES)

        return at

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "vocoder", "system": "periodwave", "config": self.config.to_dict()}


def frame_energy(features: Float[Tensor, "b rows frames"]) -> Float[Tensor, "b frames"]:
    """sqrt of the sum of mel magnitudes; features are their natural logarithm."""
    return features.exp().sum(dim=1).sqrt()


def energy_deviation(
    features: Float[Tensor, "b rows frames"], energy: Energy
) -> Float[Tensor, "b frames"]:
    """The deviation of each frame's noise. PriorGrad (Lee et al. 2022), section 4.1."""
    scaled = (frame_energy(features) - energy.low) / (energy.high - energy.low)
    return scaled.clamp(min=energy.floor)


def build(config: Config) -> PeriodWave:
    return PeriodWave(config)
