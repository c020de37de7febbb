"""How good forecasts were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sonograph.errors import InputError


def percentage_errors(
    predicted: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray
) -> Float[np.ndarray, " n"]:
    """100 |predicted - true| / true at each control size."""
    guess, truth = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    if guess.shape != truth.shape or not truth.size:
        raise InputError(f"as many predictions as truths, not {guess.shape} and {truth.shape}")
    if (truth <= 0).any():
        raise InputError("a percentage error needs true values above 0")
    return 100 * np.abs(guess - truth) / truth


def mape(predicted: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray) -> float:
    """The mean absolute percentage error of a run.

    >>> mape([50, 90], [50, 100])
    5.0
    """
    return float(percentage_errors(predicted, true).mean())


def decision_reliability(
    predicted: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray
) -> float:
    """The share of pairs of learners that are ordered right; learners that tie in truth are left
    out, those that tie in the prediction count half.

    >>> decision_reliability([0.7, 0.8, 0.6], [0.7, 0.9, 0.8])
    0.6666666666666666
    """
    guess, truth = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    if guess.shape != truth.shape or guess.ndim != 1:
        raise InputError(f"one prediction a learner, not {guess.shape} for {truth.shape}")
    first, second = np.triu_indices(len(truth), 1)
    really = np.sign(truth[first] - truth[second])
    said = np.sign(guess[first] - guess[second])[really != 0]
    really = really[really != 0]
    if not len(really):
        raise InputError("no two learners differ: there is nothing to order")
    return float(np.where(said == 0, 0.5, said == really).mean())


def robustness(
    predicted: Sequence[float] | np.ndarray,
    true: Sequence[float] | np.ndarray,
    tolerance: float = 1.0,
) -> float:
    """The share of control sizes whose percentage error is at most `tolerance` (ours: the paper's
    rate is not in our sources)."""
    return float((percentage_errors(predicted, true) <= tolerance).mean())
