"""How far predicted durations of words lie from those of a recording (NATSpeech)."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor


def word_duration_loss(
    predicted: Float[Tensor, "b n"],
    durations: Float[Tensor, "b n"],
    words: Int64[Tensor, "b n"],
    first: int,
) -> Float[Tensor, ""]:
    """Squared error of log(1 + frames) of whole words, from word `first` on, of those that last."""
    empty = predicted.new_zeros(len(words), int(words.max()) + 1)
    said = empty.scatter_add(1, words, predicted)[:, first:]
    wanted = empty.scatter_add(1, words, durations)[:, first:]
    error = ((said + 1).log() - (wanted + 1).log()).square()
    return mean_over(error, wanted > 0)


def mean_over(values: Tensor, valid: Tensor) -> Float[Tensor, ""]:
    """Mean of the valid ones; 0 where there is none."""
    return (values * valid).sum() / valid.sum().clamp(min=1)
