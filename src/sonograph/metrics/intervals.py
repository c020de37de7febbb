"""How sure a mean is: intervals over seeds, folds and clips."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from sonograph.errors import InputError


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one at the given level (NaN ends: unknown)."""

    mean: float
    low: float
    high: float
    count: int
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Student's t interval of a mean; one value alone has no interval.

    >>> print(mean_interval([0.7, 0.8, 0.9]))
    0.800 [0.552, 1.048]
    """
    numbers = _numbers(values, "values")
    mean, count = float(numbers.mean()), len(numbers)
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1, level)
    half = student_quantile(0.5 + level / 2, count - 1) * float(numbers.std(ddof=1)) / count**0.5
    return Interval(mean, mean - half, mean + half, count, level)


def proportion_interval(right: int, count: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share: sensible for few clips, and for none or all right.

    Wilson 1927, equation 4.

    >>> print(proportion_interval(9, 10))
    0.900 [0.596, 0.982]
    """
    if not 0 <= right <= count or count < 1:
        raise InputError(f"{right} of {count} is no share")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, square = right / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(share, low, high, count, level)


def paired_interval(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, level: float = 0.95
) -> Interval:
    """Student's t interval of the mean of a - b, where a[i] and b[i] share seed, fold or clip."""
    return mean_interval(_difference(a, b), level)


def paired_bootstrap(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the mean of a - b (Efron 1979), pairs drawn together."""
    difference = _difference(a, b)
    random = np.random.default_rng(seed)
    count = len(difference)
    means = np.empty(draws)
    for begin in range(0, draws, 256):  # bounded memory for many clips
        size = min(256, draws - begin)
        picked = random.integers(0, count, (size, count))
        means[begin : begin + size] = difference[picked].mean(axis=1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(float(difference.mean()), float(low), float(high), count, level)


def student_quantile(probability: float, freedom: int) -> float:
    """The t with P(T <= t) = probability, by bisection of the exact distribution.

    >>> round(student_quantile(0.975, 2), 4)
    4.3027
    """
    if not 0 < probability < 1:
        raise InputError(f"a probability lies between 0 and 1, not at {probability}")
    if probability < 0.5:
        return -student_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while student_below(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if student_below(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_below(t: float, freedom: int) -> float:
    """P(T <= t) for whole degrees of freedom: Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(3 if odd else 2, freedom + 1, 2):
        total += term
        term *= (k - 1) / k * cosine**2
    middle = (2 / math.pi) * (angle + sine * total) if odd else sine * total
    return 0.5 + middle / 2


def _numbers(values: Sequence[float] | np.ndarray, name: str) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or not len(numbers):
        raise InputError(f"{name} is a list of numbers, at least one; got shape {numbers.shape}")
    return numbers


def _difference(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> np.ndarray:
    first, second = _numbers(a, "a"), _numbers(b, "b")
    if len(first) != len(second):
        raise InputError(f"pairs need lists of one length, not {len(first)} and {len(second)}")
    return first - second
