"""Accuracy patterns and their least-squares fits: the trends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

FIRST_LEVEL = 3  # a pattern has three parameters
HIGHEST_LIMIT = 200.0  # percent; a fit that goes there has no limit yet


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A family c - a g(x; b) of positive, increasing, concave curves: g falls, a is not negative.

    gap: g of (x / x_l, b), where x_l is the last size that was fitted. shapes: the range of b.
    Where g goes to 0, c is the limit.
    """

    gap: Callable[[np.ndarray, np.ndarray], np.ndarray]
    shapes: tuple[float, float]


PATTERNS = {
    "power": Pattern(lambda x, b: np.exp(-b * np.log(x)), (1e-3, 5.0)),
    "exponential": Pattern(lambda x, b: np.exp(-b * x), (1e-2, 100.0)),
    # Morgan-Mercer-Flodin with exponent 1: larger ones are not concave
    "mmf": Pattern(lambda x, b: 1 / (1 + b * x), (1e-2, 1e4)),
    # to compare with only: it has no limit, so that it never reaches a prediction level
    "logarithm": Pattern(lambda x, b: -np.log(x) + 0 * b, (1.0, 1.0)),
}
BOUNDED = ("power", "exponential", "mmf")


@dataclasses.dataclass(frozen=True, eq=False)
class Trends:
    """Curves c - a g(x / scale; b), one for each row, in percent of the ceiling."""

    pattern: str
    limits: Float[np.ndarray, " b"]  # c; alpha where the pattern is bounded
    gains: Float[np.ndarray, " b"]  # a
    shapes: Float[np.ndarray, " b"]  # b
    scales: Float[np.ndarray, " b"]  # size that g counts in

    def __call__(self, sizes: Sequence[float] | np.ndarray) -> Float[np.ndarray, "b k"]:
        """Values at sizes; at infinity the limit."""
        x = np.asarray(sizes, dtype=float)
        with np.errstate(over="ignore", divide="ignore"):
            gap = PATTERNS[self.pattern].gap(x[None] / self.scales[:, None], self.shapes[:, None])
        return self.limits[:, None] - self.gains[:, None] * gap

    def __getitem__(self, rows: Any) -> Trends:
        parts = (np.atleast_1d(part[rows]) for part in self._parts())
        return Trends(self.pattern, *parts)

    def __add__(self, other: Trends) -> Trends:
        pairs = zip(self._parts(), other._parts())
        return Trends(self.pattern, *(np.concatenate(pair) for pair in pairs))

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.limits, self.gains, self.shapes, self.scales


GRID, CLOSER = 40, 9  # shapes tried at first, and then between neighbours of the best
EXACT, ROUGH = 12, 6  # how often: to eight digits of the shape, or to three for a bootstrap


def fit(
    sizes: Float[np.ndarray, " n"],
    values: Float[np.ndarray, "b n"],
    pattern: str = "power",
    anchors: Float[np.ndarray, " b"] | None = None,
    anchor_weight: float = 1.0,
    levels: Sequence[int] | None = None,
    rounds: int = EXACT,
) -> Trends:
    """Least-squares trends of several curves (percent) over the same sizes.

    sum_i (c - a g(x_i; b) - A_i)^2 + anchor_weight (c - anchor)^2 with a >= 0 and c at most
    `HIGHEST_LIMIT`. levels: how many observations each row sees, all of them if not given.
    For each b the optimum of a and c is a formula; b is searched, so that no start is needed.
    """
    family = PATTERNS[pattern]
    rows, count = values.shape
    seen = np.asarray(levels if levels is not None else [count] * rows)
    weights = (np.arange(count) < seen[:, None]).astype(float)
    scales = np.asarray(sizes, dtype=float)[seen - 1]
    x = np.asarray(sizes, dtype=float)[None] / scales[:, None]
    y = np.asarray(values, dtype=float)

    def solved(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(cost, c, a) for shapes (b, k), each (b, k)."""
        gap = family.gap(x[:, None], shapes[..., None])
        w = np.broadcast_to(weights[:, None], gap.shape)
        known = np.broadcast_to(y[:, None], gap.shape)
        if anchors is not None:  # at infinity the gap is closed
            end = np.ones((*gap.shape[:2], 1))
            gap = np.concatenate([gap, 0 * end], axis=2)
            w = np.concatenate([w, anchor_weight * end], axis=2)
            known = np.concatenate([known, anchors[:, None, None] * end], axis=2)
        total = w.sum(2)
        mean_gap, mean = (w * gap).sum(2) / total, (w * known).sum(2) / total
        off = gap - mean_gap[..., None]
        spread = (w * off * off).sum(2)
        gain = -(w * off * known).sum(2) / np.maximum(spread, 1e-300)
        gain = np.maximum(gain, 0.0)
        limit = mean + gain * mean_gap
        # The cost is convex in (a, c): where its minimum lies beyond a bound, it is on that bound.
        square = np.maximum((w * gap * gap).sum(2), 1e-300)
        at_bound = (w * gap * (HIGHEST_LIMIT - known)).sum(2) / square
        beyond = limit > HIGHEST_LIMIT
        gain = np.where(beyond, np.maximum(at_bound, 0.0), gain)
        limit = np.where(beyond, HIGHEST_LIMIT, limit)
        error = limit[..., None] - gain[..., None] * gap - known
        return (w * error * error).sum(2), limit, gain

    low, high = (np.full(rows, math.log(end)) for end in family.shapes)
    shapes = np.exp(np.linspace(low, high, GRID if family.shapes[0] < family.shapes[1] else 1).T)
    everyone = np.arange(rows)
    for _ in range(rounds):
        cost, limit, gain = solved(shapes)
        best = cost.argmin(1)
        found = limit[everyone, best], gain[everyone, best], shapes[everyone, best]
        if shapes.shape[1] == 1:
            break
        left = np.log(shapes[everyone, np.maximum(best - 1, 0)])
        right = np.log(shapes[everyone, np.minimum(best + 1, shapes.shape[1] - 1)])
        shapes = np.exp(np.linspace(left, right, CLOSER).T)
    return Trends(pattern, *found, scales)
