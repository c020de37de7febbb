"""Losses of durations: by hand for a text of two words, and what padding adds."""

from __future__ import annotations

import math

import pytest
import torch

from sonograph.losses.acoustic import Losses
from sonograph.losses.durations import duration_losses
from sonograph.nn.acoustic import Text

FRAMES = torch.tensor([[2, 3, 4, 0]])
TEXT = Text(torch.tensor([[1, 2, 3, 0]]), torch.tensor([3]), torch.tensor([[0, 0, 1, 1]]))
ALL = Losses(token_duration=0.1, word_duration=1.0, sentence_duration=1.0)


def square(said: float, wanted: float) -> float:
    return (math.log(1 + said) - math.log(1 + wanted)) ** 2


@pytest.mark.parametrize("domain", ["log", "frames"])
def test_tokens_words_and_the_whole_by_hand(domain):
    said = torch.tensor([[1.0, 5.0, 4.0, 7.0]])  # what is said of padding counts for nothing
    predicted = (1 + said).log() if domain == "log" else said
    found = duration_losses(ALL, predicted, FRAMES, TEXT, domain)
    assert float(found["token_duration"]) == pytest.approx(
        (square(1, 2) + square(5, 3) + square(4, 4)) / 3
    )
    assert float(found["word_duration"]) == pytest.approx((square(6, 5) + square(4, 4)) / 2)
    assert float(found["sentence_duration"]) == pytest.approx(square(10, 9))


def test_what_is_not_asked_for_is_not_there():
    predicted = torch.ones(1, 4)
    assert set(duration_losses(Losses(), predicted, FRAMES, TEXT)) == {"token_duration"}
    plain = duration_losses(Losses(duration="l1"), predicted, FRAMES, TEXT, "frames")
    assert float(plain["token_duration"]) == pytest.approx((1 + 2 + 3) / 3)


def test_durations_below_nothing_are_nothing():
    """Of log(1 + frames) below 0, a word of several would have the logarithm of less than 0."""
    found = duration_losses(ALL, torch.full((1, 4), -3.0), FRAMES, TEXT)
    assert all(torch.isfinite(value) for value in found.values())
    assert float(found["sentence_duration"]) == pytest.approx(square(0, 9))
