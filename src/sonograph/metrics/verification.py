"""Speaker verification: the error rate at which as many are wrongly accepted as refused."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from sonograph.errors import InputError


def equal_error_rate(
    scores: Float[np.ndarray, "n"], same: Bool[np.ndarray, "n"]
) -> tuple[float, float]:
    """(rate, threshold), where shares of false acceptances and false refusals cross.

    Between two thresholds the shares are taken to be linear.

    >>> equal_error_rate(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, True, False, False]))
    (0.0, 0.8)
    """
    scores, same = np.asarray(scores, np.float64), np.asarray(same, bool)
    if scores.shape != same.shape or same.all() or not same.any():
        raise InputError("an equal error rate needs pairs of the same and of different speakers")
    order = np.argsort(-scores, kind="stable")
    ranked, truth = scores[order], same[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # equal scores are accepted together
    accepted = np.concatenate(([0.0], (np.cumsum(~truth) / (~truth).sum())[last]))
    refused = np.concatenate(([1.0], (1 - np.cumsum(truth) / truth.sum())[last]))
    thresholds = np.concatenate(([ranked[0]], ranked[last]))
    k = int(np.argmax(accepted >= refused))
    gap_before, gap = refused[k - 1] - accepted[k - 1], accepted[k] - refused[k]
    share = gap_before / (gap_before + gap) if gap_before + gap else 1.0
    rate = accepted[k - 1] + share * (accepted[k] - accepted[k - 1])
    return float(rate), float(thresholds[k])
