"""Learning curves: how good a learner will be, told from how it has been getting better.

For whoever must decide whether more data or more steps are worth their price. Vilares Ferro,
Darriba Bilbao and Ribadas Pena, "Modeling of learning curves with applications to POS tagging",
Computer Speech and Language 2017. A family of curves (the accuracy pattern) is fitted again with
every new observation; once the fits have settled, and only then, the last one is believed.

    curve = forecast([100, 200, 300, ...], [0.52, 0.61, 0.66, ...], at=[2000])
    curve.reached, curve.mean, curve.low, curve.high, curve.why

Terms of the paper, for observations (x_i, A_i), the accuracy A_i after x_i of data or steps:
the *trend* of level l >= 3 is the least-squares fit to the first l; the *trace* is all trends; the
*asymptotic backbone* their limits alpha_l. The *working level* is the first from which the backbone
stands still, the *prediction level* the first after it whose limit is possible at all. Beyond it
every fit is *anchored*: it sees the last limit as one more observation, at infinity. What may still
change is the *layer of convergence*; training stops where it is thinner than what one asks for.

Shapes: sizes (n,), accuracies (n,) or (n, folds); a batch of curves is (b, n).

Published numbers are not in our sources. Ours, where they are silent: the layer of convergence (a
stand-in, `layer`), the noise allowed to the hypotheses (`hypotheses`), the robustness rate, and
all intervals. A trend is found by eliminating the two linear parameters and searching the third,
on a grid and then ever closer: the optimum that trust-region reflective least squares is to find.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from sonograph import config as configuration
from sonograph.errors import InputError
from sonograph.registry import About

FIRST_LEVEL = 3  # a pattern has three parameters
HIGHEST_LIMIT = 200.0  # percent; a fit that goes there has no limit yet


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


# --- accuracy patterns ---------------------------------------------------------------------------


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


# --- learning trace ------------------------------------------------------------------------------


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


# --- working hypotheses --------------------------------------------------------------------------

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


# --- forecast ------------------------------------------------------------------------------------


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
        f"predictable from observation {trace.prediction} on; at most {left * unit:.3g} of "
        f"{words.name} may still change",
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
    """Bootstrap interval, in percent, of what would be measured at each size.

    Folds are drawn anew, the same at every size, where there are three or more; else residuals of
    the last trend. Each draw is followed from the prediction level as the curve itself was, and
    carries one residual more: that of the measurement to come.
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
    return low, high


# --- evaluation measures -------------------------------------------------------------------------


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

    >>> mape([0.5, 0.9], [0.5, 1.0])
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


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="How far a learning curve will rise, told from its first part, and when it is told.",
    use=(
        "More data can be had, at a price: measure the accuracy over parts of what is there, and "
        "`sonograph forecast` says what twice as much would bring.",
        "Several learners are tried, and the hopeless ones are to be dropped before they end.",
        "A training is to stop where little is left to gain: `sonograph train --stop-when-flat`.",
    ),
    avoid=(
        "Fewer than nine observations, or noisy ones: it says that it cannot tell, and why.",
        "A curve that rises and falls, or has not begun to flatten: no accuracy pattern fits it.",
        "The learning rate falls along the curve, as with a cosine: what the end of the schedule "
        "brings is not in its beginning.",
        "The end of the curve is another regime: other data, or a larger model.",
    ),
    paper="Manuel Vilares Ferro, Victor M. Darriba Bilbao, Francisco J. Ribadas Pena, Computer "
    "Speech and Language 2017, arXiv 2402.02515",
    figures=(
        "from a fraction of the data the final accuracy of part-of-speech taggers is predicted "
        "with small error, and taggers are ordered right; the numbers are in no source we have",
    ),
    code_licence="none: no official code was found",
    weights_licence="none: there are no weights",
    deviations=(
        "The layer of convergence is a stand-in of ours: the larger of what the last trend leaves "
        "to gain and what the last observation changed in any later prediction.",
        "nu is 4e-4 where the paper's is of the order of 1e-5, with sizes counted so that the "
        "first step has 5,000 units, its step in words: two points of a percent a step. At the "
        "paper's value curves from a few hundred clips never come to rest. Chosen on made power "
        "laws with noise, before any real curve was seen.",
        "Trends are found by eliminating the linear parameters and searching the third, not by "
        "trust-region steps: the same optimum, from no start. scipy's search agrees.",
        "A limit is bounded by 200 % but not by the highest observation, which noise would lift; "
        "a fit at that bound does not count as still.",
        "The working hypotheses are checked with an allowance for noise, which the paper leaves to "
        "anchoring.",
        "Intervals (bootstrap over folds or residuals), losses, exponential and MMF patterns and "
        "the robustness rate's definition are ours.",
    ),
    faults=(),
    verbs=("forecast", "train"),
    golden=(),
    checks=("tests/parity/test_learning_curves_scipy.py",),
)
