"""What every acoustic model is: text tokens in, the features of a vocoder out.

Shape legend: b texts, n tokens, t frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.pretrained import Pretrained


class Text(NamedTuple):
    """Tokens of several texts, padded with 0.

    words: the index of the word that each token belongs to, from 0 and never falling; punctuation
    and pauses are words of their own.
    """

    ids: Int64[Tensor, "b n"]
    lengths: Int64[Tensor, "b"]
    words: Int64[Tensor, "b n"]

    @property
    def mask(self) -> Tensor:
        """(b, n) true where there is a token."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]


class Controls(NamedTuple):
    """Factors for each token, None for 1: of speed (2 is twice as fast), of F0, of energy."""

    pace: Float[Tensor, "b n"] | None = None
    pitch: Float[Tensor, "b n"] | None = None
    energy: Float[Tensor, "b n"] | None = None


class Spoken(NamedTuple):
    """What an acoustic model says; the durations of a text sum up to its length."""

    features: Float[Tensor, "b rows t"]
    lengths: Int64[Tensor, "b"]
    durations: Int64[Tensor, "b n"]


class SpeechBatch(NamedTuple):
    """Recordings with their text, to learn from.

    durations: frames of each token, None where the model's own aligner has to find them.
    pitch_hz: F0 of each frame, 0 where it is unvoiced. energy: of each frame.
    """

    text: Text
    features: Float[Tensor, "b rows t"]
    lengths: Int64[Tensor, "b"]
    durations: Int64[Tensor, "b n"] | None = None
    pitch_hz: Float[Tensor, "b t"] | None = None
    energy: Float[Tensor, "b t"] | None = None


def mask_of(lengths: Int64[Tensor, "b"], size: int) -> Bool[Tensor, "b size"] | None:
    """True where there is something; None where that is everywhere, which is faster."""
    if len(lengths) == 1 or bool((lengths == size).all()):
        return None
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def require_text(text: Text, tokens: int) -> None:
    """Raise InputError for an empty text or a token that the model does not know."""
    if text.ids.shape[1] == 0 or bool((text.lengths < 1).any()):
        raise InputError("a text without tokens cannot be spoken: give at least one word")
    if int(text.ids.max()) >= tokens or int(text.ids.min()) < 0:
        raise InputError(
            f"token {int(text.ids.max())} is not one of the model's {tokens}: "
            "encode the text with the model's own alphabet"
        )


class Acoustic(nn.Module, Pretrained):
    """Says a text in the features of `spec`; its tokens are those of the alphabet of that name."""

    spec: FeatureSpec
    alphabet: str
    card: dict[str, Any]
    name: str

    def speak(
        self,
        text: Text,
        controls: Controls = Controls(),  # noqa: B008 (nothing in it can change)
        generator: torch.Generator | None = None,
    ) -> Spoken:
        """Features and durations of each text; what is random is drawn from `generator`."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        raise NotImplementedError
