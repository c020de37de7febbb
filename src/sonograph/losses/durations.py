"""How far predicted durations lie from those of a recording: of tokens, words and whole texts."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from sonograph.losses.acoustic import Losses
from sonograph.nn.acoustic import Text


def duration_losses(
    plan: Losses,
    predicted: Float[Tensor, "b n"],
    durations: Int64[Tensor, "b n"],
    text: Text,
    domain: Literal["log", "frames"] = "log",
) -> dict[str, Float[Tensor, ""]]:
    """Of tokens, and where they are asked for of words and of the whole text (NATSpeech).

    predicted: log(1 + frames) of each token, or frames.
    """
    wanted, valid = durations.to(predicted.dtype), text.mask
    if plan.duration == "l1":
        return {"token_duration": mean_over((predicted - wanted).abs(), valid)}
    logs = predicted if domain == "log" else (predicted + 1).log()
    found = {"token_duration": mean_over((logs - (wanted + 1).log()).square(), valid)}
    if not (plan.word_duration or plan.sentence_duration):
        return found
    linear = (predicted.exp() - 1).clamp(min=0) if domain == "log" else predicted
    linear = linear * valid
    if plan.word_duration:
        found["word_duration"] = word_duration_loss(linear, wanted, text.words * valid, 0)
    if plan.sentence_duration:
        both = (linear.sum(1) + 1).log() - (wanted.sum(1) + 1).log()
        found["sentence_duration"] = both.square().mean()
    return found


def word_duration_loss(
    predicted: Float[Tensor, "b n"],
    durations: Float[Tensor, "b n"],
    words: Int64[Tensor, "b n"],
    first: int,
) -> Float[Tensor, ""]:
    """Squared error of log(1 + frames) of whole words, from word `first` on, of those that last
    (NATSpeech).
    """
    empty = predicted.new_zeros(len(words), int(words.max()) + 1)
    said = empty.scatter_add(1, words, predicted)[:, first:]
    wanted = empty.scatter_add(1, words, durations)[:, first:]
    error = ((said + 1).log() - (wanted + 1).log()).square()
    return mean_over(error, wanted > 0)


def mean_over(values: Tensor, valid: Tensor) -> Float[Tensor, ""]:
    """Mean of the valid ones; 0 where there is none."""
    return (values * valid).sum() / valid.sum().clamp(min=1)
