"""The working hypotheses: what a curve has to be for the theory to speak of it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from sonograph.systems.study.learning_curves.patterns import FIRST_LEVEL

NOISE_ALLOWED = 4.0  # standard errors; each hypothesis is tried at many places of the curve


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """Whether a curve is what the theory speaks of."""

    positive: bool
    bounded: bool
    increasing: bool
    concave: bool
    place: float = math.nan  # size where it begins to fall, else where it bends upwards most

    @property
    def hold(self) -> bool:
        return self.positive and self.bounded and self.increasing and self.concave


def hypotheses(sizes: Float[np.ndarray, " n"], percent: Float[np.ndarray, " n"]) -> Hypotheses:
    """Check the paper's working hypotheses: positive, bounded, increasing, concave, but for noise.

    Noise is judged from second differences, which a smooth curve has few of. Means of neighbours
    are compared: the last with the highest (a fall), each with the chord between the first and the
    last (a bend upwards). What exceeds four standard errors of such a difference, and 2 % of the
    range, is not noise.
    """
    count = len(sizes)
    positive, bounded = bool((percent >= 0).all()), bool((percent <= 100).all())
    if count < FIRST_LEVEL:
        return Hypotheses(positive, bounded, True, True)
    k = max(1, min(5, count // 4))
    window = np.ones(k) / k
    means, places = (np.convolve(v, window, "valid") for v in (percent, sizes))
    noise = NOISE_ALLOWED * _noise(sizes, percent) * math.sqrt(2 / k)
    least = max(noise, 0.02 * float(np.ptp(means)), 1e-9)
    peak = int(means.argmax())
    share = (places - places[0]) / (places[-1] - places[0])
    sag = means[0] + share * (means[-1] - means[0]) - means
    deepest = int(sag.argmax())
    increasing, concave = float(means[peak] - means[-1]) <= least, float(sag[deepest]) <= least
    place = math.nan if increasing and concave else float(places[deepest if increasing else peak])
    return Hypotheses(positive, bounded, increasing, concave, place)


def _noise(sizes: np.ndarray, percent: np.ndarray) -> float:
    """Standard deviation of one observation: how far each lies from the line of its neighbours."""
    share = (sizes[1:-1] - sizes[:-2]) / (sizes[2:] - sizes[:-2])
    off = percent[1:-1] - (1 - share) * percent[:-2] - share * percent[2:]
    off = off / np.sqrt(1 + (1 - share) ** 2 + share**2)
    return float(np.sqrt(np.square(off).mean()))
