from __future__ import annotations

import math

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.metrics.intervals import (
    mean_interval,
    paired_bootstrap,
    paired_interval,
    proportion_interval,
    student_quantile,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 30, 999])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.9, 0.975, 0.9995])
def test_student_quantile(freedom, probability):
    expected = stats.t.ppf(probability, freedom)
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_mean_interval_is_scipys():
    values = np.random.default_rng(0).normal(3, 2, 12)
    found = mean_interval(values, 0.9)
    low, high = stats.t.interval(0.9, 11, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert math.isnan(mean_interval([1.0]).low)
    with pytest.raises(InputError, match="at least one"):
        mean_interval([])


def test_paired_interval_sees_what_is_common():
    random = np.random.default_rng(0)
    common = random.normal(0, 10, 8)
    a, b = common + 1 + random.normal(0, 0.1, 8), common + random.normal(0, 0.1, 8)
    found = paired_interval(a, b)
    test = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((test.low, test.high))
    assert found.low > 0.5
    with pytest.raises(InputError, match="one length, not 8 and 7"):
        paired_interval(a, b[1:])


def test_paired_bootstrap_is_close_to_scipys_and_repeats():
    random = np.random.default_rng(1)
    a, b = random.normal(0.3, 1, 60), random.normal(0, 1, 60)
    found = paired_bootstrap(a, b)
    theirs = stats.bootstrap(
        (a - b,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found == paired_bootstrap(a, b)
    assert found.mean == pytest.approx((a - b).mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_a_share_has_wilsons_interval():
    """Bounds are the shares p at which (share - p) is z standard errors of p."""
    for right, count in ((0, 5), (3, 7), (90, 100), (20, 20)):
        found = proportion_interval(right, count)
        assert 0 <= found.low <= right / count <= found.high <= 1
        for bound in (found.low, found.high):
            if 0 < bound < 1:
                z = (right / count - bound) / (bound * (1 - bound) / count) ** 0.5
                assert abs(z) == pytest.approx(1.959964, rel=1e-5)
    with pytest.raises(InputError, match="3 of 2"):
        proportion_interval(3, 2)
    with pytest.raises(InputError, match="0 of 0"):
        proportion_interval(0, 0)
