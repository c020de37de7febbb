"""Trends and traces beside scipy's trust-region reflective least squares, from many starts."""

from __future__ import annotations

import numpy as np
import pytest

from sonograph.systems.study import learning_curves as system

SIZES = np.arange(50.0, 1050.0, 50.0)
GAPS = {
    "power": lambda x, b: x**-b,
    "exponential": lambda x, b: np.exp(-b * x),
    "mmf": lambda x, b: 1 / (1 + b * x),
}
TRUTHS = {
    "power": 88 - 250 * SIZES**-0.55,
    "exponential": 80 - 50 * np.exp(-SIZES / 300),
    "mmf": 85 - 70 / (1 + SIZES / 150),
}


def curve(pattern: str, seed: int) -> np.ndarray:
    return TRUTHS[pattern] + np.random.default_rng(seed).normal(0, 0.4, len(SIZES))


def peer(pattern, sizes, values, anchor=None, weight=1.0):
    """(cost, limit, function) of the best of scipy's searches; the sheet's form and bounds."""
    optimize = pytest.importorskip("scipy.optimize")
    gap, (low, high) = GAPS[pattern], system.PATTERNS[pattern].shapes

    def residuals(p):
        off = p[2] - p[0] * gap(sizes / sizes[-1], p[1]) - values
        return off if anchor is None else np.append(off, np.sqrt(weight) * (p[2] - anchor))

    found = [
        optimize.least_squares(
            residuals,
            (max(values.max() - values[0], 1.0), b, values.max() + 1),
            bounds=([0, low, 0], [np.inf, high, system.HIGHEST_LIMIT]),
            method="trf",
            x_scale="jac",
            ftol=1e-14,
            xtol=1e-14,
            gtol=1e-14,
            max_nfev=1000,
        )
        for b in np.geomspace(low * 5, high / 2, 5)
    ]
    best = min(found, key=lambda one: one.cost)
    a, b, c = best.x
    return 2 * best.cost, c, lambda x: c - a * gap(x / sizes[-1], b)


@pytest.mark.parametrize("pattern", list(GAPS))
@pytest.mark.parametrize("anchor", [None, 84.0])
@pytest.mark.parametrize("level", [5, 9, 20])
def test_a_trend_is_the_optimum_that_scipy_finds(pattern, anchor, level):
    for seed in range(2):
        x, y = SIZES[:level], curve(pattern, seed)[:level]
        cost, _, predict = peer(pattern, x, y, anchor, 2.0)
        anchors = None if anchor is None else np.array([anchor])
        ours = system.fit(x, y[None], pattern, anchors, 2.0)
        error = ours(x)[0] - y
        mine = (error**2).sum()
        if anchor is not None:
            mine += 2.0 * (ours.limits[0] - anchor) ** 2
        assert mine <= cost * (1 + 1e-6) + 1e-9, "ours is the optimum of all b"
        if abs(mine - cost) <= 1e-6 * cost:  # scipy found it too: the curves are the same
            np.testing.assert_allclose(ours(SIZES)[0], predict(SIZES), rtol=2e-4)
        else:
            pytest.fail(f"scipy stopped at {cost}, ours is {mine}")


def test_the_whole_trace_beside_scipy():
    """Free up to the prediction level, then each level anchored at scipy's own last limit."""
    values = curve("power", 3)
    trace = system.trace_of(SIZES, values, system.Config(ceiling=100))
    assert trace.prediction
    last = 0.0
    for level in range(6, len(SIZES) + 1):
        anchor = last if level > trace.prediction else None
        _, last, predict = peer("power", SIZES[:level], values[:level], anchor)
        assert trace.trend(level).limits[0] == pytest.approx(last, rel=1e-3), level
        np.testing.assert_allclose(trace.trend(level)(SIZES)[0], predict(SIZES), rtol=3e-4)
