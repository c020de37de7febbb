"""The learning trace: working and prediction level, anchoring, layer of convergence."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from sonograph import config as configuration
from sonograph.errors import InputError
from sonograph.systems.study.learning_curves.patterns import (
    EXACT,
    FIRST_LEVEL,
    HIGHEST_LIMIT,
    Trends,
    fit,
)


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """How a curve is followed. The paper's symbol stands behind each number."""

    pattern: Literal["power", "exponential", "mmf"] = "power"  # pi
    verticality: float = 4e-4  # nu in (0, 1): how much the backbone may move
    slow_down: float = 1.0  # s >= 1: smaller movements count as still only later
    look_ahead: int = 5  # lambda: how many levels more it has to stand still
    step_units: float = 5000.0  # the first step in units of nu: the paper's, in words
    anchor_weight: float = 1.0  # of the limit, in observations
    ceiling: float = 1.0  # the best accuracy there is; 100 for percent
    draws: int = 100  # of the bootstrap; 0: no interval
    interval: float = 0.95
    seed: int = 0  # of the bootstrap

    def __post_init__(self) -> None:
        for name, fits, words in (
            ("verticality", 0 < self.verticality < 1, "it lies between 0 and 1"),
            ("slow_down", self.slow_down >= 1, "it is at least 1"),
            ("look_ahead", self.look_ahead >= 0, "it is at least 0"),
            ("step_units", self.step_units > 0, "it is above 0"),
            ("anchor_weight", self.anchor_weight >= 0, "it is at least 0"),
            ("ceiling", 0 < self.ceiling < math.inf, "it is above 0"),
            ("draws", self.draws >= 0, "it is at least 0"),
            ("interval", 0 < self.interval < 1, "it lies between 0 and 1"),
        ):
            if not fits:
                raise InputError(f"Config.{name} is {getattr(self, name)}: {words}")

    @property
    def stillness(self) -> float:
        """Percent that the backbone may move in one step: nu^(1/s) / (1 - nu) a unit."""
        slope = self.verticality ** (1 / self.slow_down) / (1 - self.verticality)
        return slope * self.step_units


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """The trends of all levels of one curve; beyond the prediction level they are anchored.

    Levels count observations; 0 says that one is not reached.
    """

    sizes: Float[np.ndarray, " n"]
    trends: Trends  # of levels 3 to n
    working: int
    prediction: int

    @property
    def level(self) -> int:
        return len(self.sizes)

    @property
    def backbone(self) -> Float[np.ndarray, " n-2"]:
        """alpha_l of levels 3 to n."""
        return self.trends.limits

    def trend(self, level: int) -> Trends:
        """A_l."""
        return self.trends[level - FIRST_LEVEL]


def trace_of(
    sizes: Float[np.ndarray, " n"], percent: Float[np.ndarray, " n"], config: Config
) -> Trace:
    """Fit every level, find the working and the prediction level, and anchor what lies beyond."""
    levels = range(FIRST_LEVEL, len(sizes) + 1)
    if not len(levels):
        empty = np.zeros(0)
        return Trace(sizes, Trends(config.pattern, empty, empty, empty, empty), 0, 0)
    free = fit(sizes, np.tile(percent, (len(levels), 1)), config.pattern, levels=levels)
    working = working_level(sizes, free.limits, config)
    prediction = prediction_level(free.limits, working)
    if not prediction:
        return Trace(sizes, free, working, 0)
    kept = free[: prediction - FIRST_LEVEL + 1]
    anchored = anchored_trends(sizes, percent[None], kept[-1], prediction, config)
    return Trace(sizes, sum(anchored, start=kept), working, prediction)


def working_level(
    sizes: Float[np.ndarray, " n"], backbone: Float[np.ndarray, " n-2"], config: Config
) -> int:
    """The smallest w with |alpha_{i+1} - alpha_i| / (x_{i+1} - x_i) <= nu^(1/s) / (1 - nu) for all
    i from w to w + look_ahead, or 0. It is known at level w + look_ahead + 1, not before.

    Sizes count in units of which the first step has `step_units`. A fit without a limit (at
    `HIGHEST_LIMIT`) does not count as still, or one that is always there would.
    """
    steps = np.diff(sizes)[FIRST_LEVEL - 1 :] / (sizes[1] - sizes[0])
    endless = backbone >= HIGHEST_LIMIT * (1 - 1e-9)
    moved = np.abs(np.diff(backbone)) / steps
    still = (moved <= config.stillness) & ~endless[1:] & ~endless[:-1]
    span = config.look_ahead + 1
    for first in range(len(still) - span + 1):
        if still[first : first + span].all():
            return first + FIRST_LEVEL
    return 0


def prediction_level(backbone: Float[np.ndarray, " n-2"], working: int) -> int:
    """The smallest level, from the working level on, whose limit is at most 100 %; or 0."""
    if not working:
        return 0
    possible = np.flatnonzero(backbone[working - FIRST_LEVEL :] <= 100.0)
    return working + int(possible[0]) if len(possible) else 0


def anchored_trends(
    sizes: Float[np.ndarray, " n"],
    percent: Float[np.ndarray, "b n"],
    start: Trends,
    prediction: int,
    config: Config,
    rounds: int = EXACT,
) -> list[Trends]:
    """Canonical anchoring: each level beyond the prediction level sees the last one's limit.

    start: the free trends of the prediction level, whose own anchor, their limit, changes nothing.
    """
    found, last = [], start
    for level in range(prediction + 1, len(sizes) + 1):
        last = fit(
            sizes[:level],
            percent[:, :level],
            config.pattern,
            last.limits,
            config.anchor_weight,
            rounds=rounds,
        )
        found.append(last)
    return found


def layer(trace: Trace) -> float:
    """The layer of convergence in percent, a stand-in of ours for the paper's.

    max(|alpha_l - A_l(x_l)|, sup over x >= x_l of |A_l - A_{l-1}|): what is left to gain according
    to the last trend, or what the last observation changed in any later prediction, whichever is
    more. The supremum is taken over a grid that is even in log x, and infinity.
    At the prediction level itself the trend before is a free one.
    """
    if trace.level <= FIRST_LEVEL:
        return math.inf
    last, before = trace.trend(trace.level), trace.trend(trace.level - 1)
    later = np.append(trace.sizes[-1] * np.geomspace(1, 1e9, 721), math.inf)
    left = abs(float(last.limits[0] - last(trace.sizes[-1:])[0, 0]))
    return max(left, float(np.abs(last(later) - before(later)).max()))
