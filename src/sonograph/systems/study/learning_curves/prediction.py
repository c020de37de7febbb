"""What more data or steps would bring, or why nothing can be said of it yet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from sonograph.errors import InputError
from sonograph.systems.study.learning_curves.checks import Hypotheses, hypotheses
from sonograph.systems.study.learning_curves.patterns import BOUNDED, FIRST_LEVEL, ROUGH, fit
from sonograph.systems.study.learning_curves.trace import (
    Config,
    Trace,
    anchored_trends,
    layer,
    trace_of,
)


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What more data or steps would bring, in the units of the observations.

    Before the prediction level nothing is predicted: `reached` is False, `mean`, `low` and `high`
    are empty, `limit` and `layer` None, and `why` says what is missing.
    """

    at: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]  # of what would be measured there; empty without draws
    high: tuple[float, ...]
    now: float  # the last observation
    limit: float | None  # alpha of the last level: with endless data
    layer: float | None  # what may still change (`layer`)
    observations: int
    working: int  # level; 0: not reached
    level: int  # the prediction level; 0: not reached
    reached: bool
    why: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Words:
    """How a curve is spoken of."""

    name: str
    falls: str
    bends: str
    impossible: str


ACCURACY = Words(
    "accuracy", "rises until about {} and then falls", "bends upwards near {}", "the ceiling"
)
LOSS = Words(
    "loss", "falls until about {} and then rises", "bends downwards near {}", "a loss of 0"
)


def forecast(
    sizes: Sequence[float] | np.ndarray,
    accuracies: Sequence[float] | Sequence[Sequence[float]] | np.ndarray,
    at: Sequence[float] = (),
    config: Config | None = None,
) -> Forecast:
    """The accuracy at the sizes `at`, from the accuracies seen so far.

    accuracies: (n,), or (n, folds) with the same folds at every size; up to `config.ceiling`.
    Raises InputError for numbers that are no curve.

    >>> sizes = range(100, 2100, 100)
    >>> told = forecast(sizes, [0.9 - 2 * x**-0.5 for x in sizes], at=[10_000])
    >>> told.reached, round(told.mean[0], 3), round(told.limit, 3)
    (True, 0.88, 0.9)
    """
    config = config or Config()
    x, y = _curve(sizes, accuracies, at)
    if (y > config.ceiling).any():
        raise InputError(
            f"an accuracy of {y.max():g} is above {config.ceiling:g}: set `ceiling` to the best "
            "there is (1, or 100 for percent)"
        )
    return _forecast(x, y * (100 / config.ceiling), at, config, ACCURACY)


def forecast_losses(
    sizes: Sequence[float] | np.ndarray,
    losses: Sequence[float] | Sequence[Sequence[float]] | np.ndarray,
    at: Sequence[float] = (),
    config: Config | None = None,
) -> Forecast:
    """The loss at the sizes `at`: as `forecast`, for what falls and cannot go below 0.

    What has been gained since the highest loss is the curve, and that loss its ceiling.
    """
    config = config or Config()
    x, y = _curve(sizes, losses, at)
    top = float(y.max())
    if top <= 0:
        return _silent(x, at, float(y[-1].mean()), 0, "the loss is 0: there is nothing to gain")
    config = dataclasses.replace(config, ceiling=top)
    told = _forecast(x, (top - y) * (100 / top), at, config, LOSS)

    def back(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(top - value for value in values)

    return dataclasses.replace(
        told,
        mean=back(told.mean),
        low=back(told.high),
        high=back(told.low),
        now=top - told.now,
        limit=None if told.limit is None else top - told.limit,
    )


def _curve(
    sizes: Any, values: Any, at: Sequence[float]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n folds"]]:
    """Observations as arrays. Raises InputError for what is no curve."""
    try:
        x, y = np.asarray(list(sizes), dtype=float), np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError("sizes are (n,) numbers, values (n,) or (n, folds)") from None
    y = y[:, None] if y.ndim == 1 else y
    if x.ndim != 1 or y.ndim != 2 or len(x) != len(y) or not y.size:
        raise InputError(
            f"a learning curve is n sizes with (n,) or (n, folds) values, not {x.shape} and "
            f"{y.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("the learning curve holds NaN or infinity")
    if (x <= 0).any() or (np.diff(x) <= 0).any():
        raise InputError("the sizes of a learning curve are above 0 and grow from one to the next")
    if (y < 0).any():
        raise InputError(f"a learning curve has no negative values, not {y.min():g}")
    if not all(math.isfinite(size) and size > 0 for size in at):
        raise InputError(f"sizes to forecast at are above 0, not {', '.join(map(str, at))}")
    return x, y


def _forecast(
    x: Float[np.ndarray, " n"],
    folds: Float[np.ndarray, "n folds"],
    at: Sequence[float],
    config: Config,
    words: Words,
) -> Forecast:
    percent = folds.mean(1)
    unit = config.ceiling / 100
    checked = hypotheses(x, percent)
    now = float(percent[-1]) * unit
    trace = trace_of(x, percent, config)
    if why := _too_early(trace, checked, config, words):
        return _silent(x, at, now, trace.working, why)
    last = trace.trend(trace.level)
    mean = np.minimum(last(np.array(at))[0], 100.0)
    left = layer(trace)
    ends = np.zeros((2, 0))
    if len(at) and config.draws:
        low, high = _interval(trace, folds, at, config)
        ends = np.stack([np.minimum(low, mean), np.maximum(high, mean)])

    def units(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
        return tuple(float(value) * unit for value in values)

    return Forecast(
        tuple(map(float, at)),
        units(mean),
        units(ends[0]),
        units(ends[1]),
        now,
        min(float(last.limits[0]), 100.0) * unit,
        left * unit,
        len(x),
        trace.working,
        trace.prediction,
        True,
        f"predictable from observation {trace.prediction} on; layer of convergence "
        f"{left * unit:.3g} of {words.name}",
    )


def _silent(x: np.ndarray, at: Sequence[float], now: float, working: int, why: str) -> Forecast:
    """No forecast, and why."""
    sizes = tuple(map(float, at))
    return Forecast(sizes, (), (), (), now, None, None, len(x), working, 0, False, why)


def _too_early(trace: Trace, checked: Hypotheses, config: Config, words: Words) -> str:
    """Why nothing can be predicted; empty if something can."""
    if not checked.increasing:
        shape = words.falls.format(f"{checked.place:.6g}")
        return f"the {words.name} {shape}: no pattern that keeps getting better fits it"
    if not checked.concave:
        shape = words.bends.format(f"{checked.place:.6g}")
        return f"the {words.name} {shape}: it has not begun to flatten"
    least = FIRST_LEVEL + config.look_ahead + 1
    if trace.level < least:
        return f"{trace.level} observations, the least is {least}"
    if not trace.working:
        return (
            f"after {trace.level} observations the limit has not stood still over "
            f"{config.look_ahead + 2} of them (within {config.stillness / 100:.2g} of the "
            f"ceiling a step)"
        )
    if not trace.prediction:
        return f"the limit of every fit since observation {trace.working} is beyond " + (
            words.impossible
        )
    return ""


def _interval(
    trace: Trace, folds: Float[np.ndarray, "n folds"], at: Sequence[float], config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Interval, in percent, of what would be measured at each size.

    Bootstrap: folds are drawn anew, the same at every size, where there are three or more; else
    residuals of the last trend. Each draw is followed from the prediction level as the curve itself
    was, and carries one residual more: that of the measurement to come. The interval is widened to
    hold what every `plausible` pattern says: that the family is right is not known.
    """
    random = np.random.default_rng(config.seed)
    count, parts = folds.shape
    percent = folds.mean(1)
    last = trace.trend(trace.level)
    residuals = percent - last(trace.sizes)[0]
    residuals = (residuals - residuals.mean()) * math.sqrt(count / max(count - FIRST_LEVEL, 1))
    if parts >= 3:
        picked = random.integers(0, parts, (config.draws, parts))
        drawn = folds[:, picked].mean(2).T
        # the mean of so few folds varies less than it would over new ones
        drawn = percent + (drawn - percent) * math.sqrt(parts / (parts - 1))
    else:
        drawn = last(trace.sizes)[0] + random.choice(residuals, (config.draws, count))
    level = trace.prediction
    start = fit(trace.sizes[:level], drawn[:, :level], config.pattern, rounds=ROUGH)
    ends = [start, *anchored_trends(trace.sizes, drawn, start, level, config, ROUGH)]
    told = ends[-1](np.array(at)) + random.choice(residuals, (config.draws, len(at)))
    half = config.interval / 2
    low, high = np.quantile(np.clip(told, 0.0, 100.0), [0.5 - half, 0.5 + half], axis=0)
    free = plausible(trace.sizes, percent, at)
    return np.minimum(low, np.min(free, axis=0)), np.maximum(high, np.max(free, axis=0))


def plausible(
    sizes: Float[np.ndarray, " n"], percent: Float[np.ndarray, " n"], at: Sequence[float]
) -> Float[np.ndarray, "p k"]:
    """What the bounded patterns say, without anchors, that fit about as well as the best of them:
    with at most twice its squared error."""
    trends = [fit(sizes, percent[None], name, rounds=ROUGH) for name in BOUNDED]
    errors = [float(np.square(trend(sizes)[0] - percent).sum()) for trend in trends]
    kept = [trend for trend, error in zip(trends, errors) if error <= 2 * min(errors) + 1e-9]
    return np.clip([trend(np.array(at))[0] for trend in kept], 0.0, 100.0)
