"""What is predicted beside durations: pitch in three codes, and energy.

A module of them answers (what it says, by name; what is added to the tokens or frames). What is
given is embedded in place of what is predicted.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph import config as base
from sonograph.nn.pitch_bins import PitchBins
from sonograph.nn.pitch_wavelets import SCALES, contour
from sonograph.nn.variance import Predictor

MEL_PITCH = PitchBins()  # NATSpeech's


@dataclasses.dataclass(frozen=True)
class Variance(base.Config):
    """A quantity that is predicted, cut into bins and embedded (FastSpeech 2, section 2.3).

    Values are normalised: (value - mean) / deviation, in Hz or of the spectrum's norm.
    """

    level: Literal["none", "tokens", "frames"] = "none"
    bins: int = 256
    low: float = -3.0  # of the bins, normalised
    high: float = 8.0
    spacing: Literal["linear", "log"] = "linear"
    mean: float = 0.0
    deviation: float = 1.0


class Binned(nn.Module):
    """A predictor, bins, and a table: the pitch or energy of FastSpeech 2, as `name` says."""

    bins: Tensor

    def __init__(self, name: str, config: Variance, predictor: Predictor, width: int, compat: str):
        super().__init__()
        self.name, self.config, self.compat, self.predictor = name, config, compat, predictor
        low, high = config.low, config.high
        if config.spacing == "log":
            edges = torch.linspace(math.log(low), math.log(high), config.bins - 1).exp()
        else:
            edges = torch.linspace(low, high, config.bins - 1)
        self.register_buffer("bins", edges)
        self.embed = nn.Embedding(config.bins, width)

    def forward(
        self, x: Tensor, mask: Tensor | None, given: Tensor | None, factor: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        said = self.predictor(x, mask)[..., 0]
        if given is None and factor is not None:
            said = self.scaled(said, factor.to(said.dtype))
        value = said if given is None else given
        return {self.name: said}, self.embed(torch.bucketize(value, self.bins))

    def scaled(self, value: Tensor, factor: Tensor) -> Tensor:
        """A normalised value whose own unit is multiplied."""
        if self.compat == "published":
            return value * factor
        mean, deviation = self.config.mean, self.config.deviation
        return ((value * deviation + mean) * factor - mean) / deviation

    def normalised(self, values: Tensor) -> Tensor:
        return (values - self.config.mean) / self.config.deviation


class MelPitch(nn.Module):
    """NATSpeech's pitch: log2 of F0, and voicing of frames, on 256 bins that are equal in mel."""

    def __init__(self, level: str, width: int, hidden: int, compat: str):
        super().__init__()
        self.level, self.compat = level, compat
        self.embed = nn.Embedding(MEL_PITCH.rows, width, padding_idx=0)
        self.predictor = Predictor(
            width,
            hidden,
            layers=5,
            kernel=5,
            dropout=0.1,
            outputs=2,
            compat=compat,  # type: ignore[arg-type]
        )

    def forward(
        self, x: Tensor, mask: Tensor | None, given: Tensor | None, factor: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """given (b, t, 2): log2 F0, and 1 where unvoiced, which is not asked of tokens."""
        said = self.predictor(x, None if self.compat == "published" else mask)
        hz = self.hz(said if given is None else given.to(x.dtype), mask)
        if factor is not None and given is None:
            hz = times(hz, factor)
        return {"pitch": said[..., 0], "voicing": said[..., 1]}, self.embed(MEL_PITCH.of(hz))

    def hz(self, pitch: Float[Tensor, "b t 2"], mask: Tensor | None) -> Float[Tensor, "b t"]:
        """F0 in Hz, 0 where there is no voice or nothing at all."""
        return voiced_hz(pitch[..., 0], pitch[..., 1] if self.level == "frames" else None, mask)


class WaveletPitch(nn.Module):
    """FastSpeech 2's pitch (section 2.3, appendix D): wavelets of the logarithm of F0, predicted
    frame by frame with voicing, and the mean and deviation that the whole text has of it.

    spread: of the predicted deviation, so much is spoken. Layers and bins as NATSpeech has them.
    """

    def __init__(self, width: int, hidden: int, dropout: float, spread: float, compat: str):
        super().__init__()
        self.spread, self.compat = spread, compat
        self.embed = nn.Embedding(MEL_PITCH.rows, width, padding_idx=0)
        self.predictor = Predictor(
            width,
            hidden,
            layers=5,
            kernel=5,
            dropout=dropout,
            outputs=SCALES + 1,
            compat=compat,  # type: ignore[arg-type]
        )
        self.span = nn.Sequential(
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 2),
        )

    def forward(
        self, x: Tensor, mask: Tensor | None, given: Tensor | None, factor: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """given (b, t, 2): log2 F0, and 1 where unvoiced.

        Says "wavelets" (b, t, scales), "voicing" (b, t), "span" (b, 2), mean and deviation of ln F0
        over the text, and "pitch" (b, t), the log2 of F0 that these come to.
        """
        shown = None if self.compat == "published" else mask
        rows, voicing = self.predictor(x, shown).split([SCALES, 1], dim=2)
        span = self.span(x.mean(1) if shown is None else mean_inside(x, shown))
        shape = contour(rows, mask, self.compat)  # type: ignore[arg-type]
        pitch = (shape * self.spread * span[:, 1:] + span[:, :1]) / math.log(2)
        said = {"pitch": pitch, "voicing": voicing[..., 0], "wavelets": rows, "span": span}
        if given is not None:
            hz = voiced_hz(given[..., 0].to(x.dtype), given[..., 1], mask)
        else:
            hz = voiced_hz(pitch, said["voicing"], mask)
            hz = hz if factor is None else times(hz, factor)
        return said, self.embed(MEL_PITCH.of(hz))

    @torch.no_grad()
    def begin_at(self, mean_hz: float, deviation_hz: float) -> None:
        """Let an untrained model speak as high as a corpus does; 0 Hz, without voice: nothing.

        ln F0 of 200 Hz is 5.3: the way there from 0 takes most of a short training.
        """
        bias = self.span[-1].bias
        if mean_hz > 0 and isinstance(bias, Tensor):
            bias.copy_(torch.tensor([math.log(mean_hz), deviation_hz / mean_hz]))


def voiced_hz(
    octaves: Float[Tensor, "b t"], unvoiced: Tensor | None, mask: Tensor | None
) -> Float[Tensor, "b t"]:
    """F0 of its log2; 0 where `unvoiced` is above 0, or beyond the end."""
    hz = (2**octaves).clamp(MEL_PITCH.low_hz, MEL_PITCH.high_hz)
    if unvoiced is not None:
        hz = hz.masked_fill(unvoiced > 0, 0.0)
    return hz if mask is None else hz.masked_fill(~mask, 0.0)


def times(hz: Float[Tensor, "b t"], factor: Tensor) -> Float[Tensor, "b t"]:
    """F0 that is asked to be higher or lower, as high as there are bins."""
    return (hz * factor.to(hz.dtype)).clamp(max=MEL_PITCH.high_hz)


def mean_inside(x: Float[Tensor, "b t d"], mask: Tensor) -> Float[Tensor, "b d"]:
    """Mean over the frames of each text."""
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
