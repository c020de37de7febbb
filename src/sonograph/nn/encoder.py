"""What every encoder answers, so that objectives, adapters and heads fit all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.pretrained import Pretrained
from sonograph.progress import Progress, silent

if TYPE_CHECKING:
    from sonograph.infer.embed import Pool
    from sonograph.infer.windows import Sound
    from sonograph.outputs import Embedding

Pooling = Literal["tokens", "special", "largest", "statistics"]


@dataclass
class Tokens:
    """A batch of token sequences.

    values: (batch, tokens, width); mask: (batch, tokens), True where a token is of the clip and
    not of its padding, or None when all are; grid: (rows, columns) with rows * columns tokens in
    frequency-major order; special: (batch, s, width), tokens that stand for the whole clip.
    """

    values: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"] | None
    grid: tuple[int, int]
    special: Float[Tensor, "b s d"] | None = None

    def pool(self, how: Pooling = "tokens") -> Float[Tensor, "b d"]:
        """One vector a clip: the mean of its own tokens, or of its special tokens; or, place by
        place, the largest number among its own tokens; or ("statistics", 2 x rows x width values)
        their mean and standard deviation over time in each row of the grid.
        """
        if how == "special":
            if self.special is None:
                raise ValueError("this encoder has no special tokens: pool='tokens' is what it has")
            return self.special.mean(1)
        if how == "largest":
            if self.mask is None:
                return self.values.amax(1)
            return self.values.masked_fill(~self.mask[..., None], float("-inf")).amax(1)
        if how == "statistics":
            return self._statistics()
        if self.mask is None:
            return self.values.mean(1)
        weight = self.mask[..., None].to(self.values.dtype)
        return (self.values * weight).sum(1) / weight.sum(1).clamp(min=1)

    def _statistics(self) -> Float[Tensor, "b s"]:
        values = self.values.unflatten(1, self.grid)
        weight = torch.ones_like(values[..., :1])
        if self.mask is not None:
            weight = self.mask.unflatten(1, self.grid)[..., None].to(values.dtype)
        count = weight.sum(2).clamp(min=1)
        mean = (values * weight).sum(2) / count
        square = ((values - mean[:, :, None]).square() * weight).sum(2) / count
        spread = square.clamp(min=1e-8).sqrt()  # a row that never moves has a gradient too
        return torch.cat([mean.flatten(1), spread.flatten(1)], dim=1)


class Embeds(Pretrained):
    """Gives an encoder the method that users call: sounds to vectors."""

    def embed(
        self,
        sounds: Sound | Sequence[Sound],
        pool: Pool = "statistics",
        progress: Progress = silent,
    ) -> Embedding:
        """One vector for each path or `Audio`, of any length: see `sonograph.infer.embed`."""
        from sonograph.infer.embed import embed

        return embed(self, sounds, pool, progress=progress)  # type: ignore[arg-type]


class Encoder(Protocol):
    """A module that turns features into tokens.

    features: spec.bins rows, (batch, bins, frames); lengths: valid frames of each clip, or None
    when all are.
    """

    spec: FeatureSpec
    width: int  # of `Tokens.values`; `special_width` where that of `Tokens.special` is another
    grid: tuple[int, int]  # of the tokens of the longest input

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this encoder again."""
        ...

    def __call__(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens: ...


def special_width(encoder: Encoder) -> int:
    """The width of the tokens that stand for the whole clip."""
    return getattr(encoder, "special_width", encoder.width)


def require_fit(encoder: Encoder, features: Float[Tensor, "b bins frames"]) -> None:
    """Raise InputError for features of other bins, or more frames than there are positions for."""
    (bins, frames), longest = features.shape[1:], encoder.config.frames  # type: ignore[attr-defined]
    if bins != encoder.spec.rows:
        raise InputError(f"this model takes {encoder.spec.rows} bins, not {bins}")
    if frames > longest:
        raise InputError(
            f"{frames} frames are more than the {longest} this model has positions for: cut the "
            "sound, or use `refit(model, frames=...)`"
        )


def pooled_width(encoder: Encoder, pool: Pooling) -> int:
    """How many values a pooled vector has."""
    if pool == "special":
        return special_width(encoder)
    return encoder.width * (2 * encoder.grid[0] if pool == "statistics" else 1)
