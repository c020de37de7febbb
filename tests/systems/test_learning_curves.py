"""Every definition of the paper on curves whose answer is known."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.systems.study import learning_curves as system
from sonograph.systems.study.learning_curves import Config, forecast, forecast_losses

SIZES = np.arange(100.0, 3100.0, 100.0)
QUICK = Config(ceiling=100, draws=0)


def power(limit=90.0, gain=300.0, shape=0.5, sizes=SIZES):
    return limit - gain * np.asarray(sizes) ** -shape


def noisy(seed, deviation=0.3, **changes):
    return power(**changes) + np.random.default_rng(seed).normal(0, deviation, len(SIZES))


# --- trends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "values"),
    [
        ("power", power()),
        ("exponential", 80 - 50 * np.exp(-SIZES / 700)),
        ("mmf", 75 - 60 / (1 + SIZES / 400)),
        ("logarithm", 10 + 8 * np.log(SIZES)),
    ],
)
def test_a_curve_of_the_family_is_found_again(pattern, values):
    trend = system.fit(SIZES[:12], values[None, :12], pattern)
    np.testing.assert_allclose(trend(SIZES)[0], values, rtol=1e-5)


def test_the_limit_is_the_value_at_infinity():
    trend = system.fit(SIZES, power()[None])
    assert trend([np.inf])[0, 0] == pytest.approx(90, abs=1e-5)
    assert trend.limits[0] == trend([np.inf])[0, 0]
    assert system.fit(SIZES, power()[None], "logarithm")([np.inf])[0, 0] == np.inf


def test_bounds_hold_and_are_optimal():
    """What falls gets the mean (a >= 0), what rises without end the highest limit."""
    falling = system.fit(SIZES, power()[None, ::-1])
    np.testing.assert_allclose(falling(SIZES)[0], power().mean())
    line = 10 + SIZES / 50
    steep = system.fit(SIZES, line[None])
    assert steep.limits[0] == system.HIGHEST_LIMIT
    rng = np.random.default_rng(0)
    best = ((steep(SIZES)[0] - line) ** 2).sum()
    for _ in range(300):  # no other curve with that limit is nearer
        gap = (SIZES / SIZES[-1]) ** -np.exp(rng.uniform(np.log(1e-3), np.log(5)))
        gain = (gap * (200 - line)).sum() / (gap * gap).sum()
        assert ((200 - gain * gap - line) ** 2).sum() >= best * (1 - 1e-9)


@pytest.mark.parametrize("weight", [1, 3])
def test_an_anchor_is_an_observation_at_infinity(weight):
    values = noisy(0)[None, :15]
    far = np.concatenate([SIZES[:15], [1e20] * weight])
    want = system.fit(far, np.concatenate([values, [[85.0] * weight]], axis=1))
    got = system.fit(SIZES[:15], values, anchors=np.array([85.0]), anchor_weight=weight)
    assert want.shapes[0] > 0.1, "or 1e20 is not far"
    np.testing.assert_allclose(got(SIZES), want(SIZES), rtol=1e-5)
    free = system.fit(SIZES[:15], values)
    assert abs(got.limits[0] - 85) < abs(free.limits[0] - 85)


def test_levels_see_only_their_own_observations():
    values = noisy(1)
    together = system.fit(SIZES, np.tile(values, (3, 1)), levels=[3, 7, 30])
    for row, level in enumerate((3, 7, 30)):
        alone = system.fit(SIZES[:level], values[None, :level])
        assert together[row].limits == pytest.approx(alone.limits, rel=1e-6)


# --- levels --------------------------------------------------------------------------------------


def test_stillness_is_the_papers_bound():
    assert Config(step_units=1, verticality=0.2).stillness == pytest.approx(0.2 / 0.8)
    slow = Config(step_units=50, verticality=0.04, slow_down=2)
    assert slow.stillness == pytest.approx(50 * 0.2 / 0.96)


@pytest.mark.parametrize("seed", range(20))
def test_working_level_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    sizes = 40 + np.cumsum(rng.uniform(5, 20, 25))
    backbone = 80 + np.cumsum(rng.normal(0, 1.0, 23))
    config = Config(look_ahead=int(rng.integers(0, 4)), slow_down=float(rng.uniform(1, 1.1)))
    bound = config.verticality ** (1 / config.slow_down) / (1 - config.verticality)
    alpha = dict(zip(range(3, 26), backbone))
    x = dict(zip(range(1, 26), sizes * config.step_units / (sizes[1] - sizes[0])))
    want = 0
    for w in range(3, 25 - config.look_ahead):
        steps = range(w, w + config.look_ahead + 1)
        if all(abs(alpha[i + 1] - alpha[i]) / (x[i + 1] - x[i]) <= bound for i in steps):
            want = w
            break
    assert system.working_level(sizes, backbone, config) == want


def test_a_working_level_is_known_only_after_the_look_ahead():
    still = np.full(28, 80.0)
    for level in range(3, 15):
        found = system.working_level(SIZES[:level], still[: level - 2], Config(look_ahead=4))
        assert found == (3 if level >= 3 + 4 + 1 else 0), level


def test_a_fit_without_a_limit_is_not_still():
    backbone = np.array([200.0] * 10 + [95.0] * 10)
    assert system.working_level(SIZES[:22], backbone, Config(look_ahead=2)) == 13


def test_prediction_level_is_the_first_possible_limit():
    backbone = np.array([90.0, 120.0, 110.0, 100.0, 99.0])
    assert system.prediction_level(backbone, 3) == 3
    assert system.prediction_level(backbone, 4) == 6
    assert system.prediction_level(np.array([120.0, 130.0]), 3) == 0
    assert system.prediction_level(backbone, 0) == 0


def test_anchors_begin_behind_the_prediction_level_and_are_the_last_limit():
    values = noisy(2)
    config = dataclasses.replace(QUICK, anchor_weight=2.0)
    trace = system.trace_of(SIZES, values, config)
    assert 3 <= trace.working <= trace.prediction < 30
    for level in range(3, 31):
        anchor = None if level <= trace.prediction else trace.trend(level - 1).limits
        want = system.fit(SIZES[:level], values[None, :level], "power", anchor, 2.0)
        assert trace.trend(level).limits == pytest.approx(want.limits, rel=1e-6), level


def test_a_heavy_anchor_holds_the_backbone():
    trace = system.trace_of(SIZES, noisy(3), dataclasses.replace(QUICK, anchor_weight=1e9))
    beyond = trace.backbone[trace.prediction - 3 :]
    assert len(beyond) > 5
    np.testing.assert_allclose(beyond, beyond[0], rtol=1e-4)


def test_the_trace_of_a_beginning_is_the_beginning_of_the_trace():
    values = noisy(4)
    whole = system.trace_of(SIZES, values, QUICK)
    for level in range(whole.prediction + QUICK.look_ahead + 1, 31, 5):
        part = system.trace_of(SIZES[:level], values[:level], QUICK)
        assert (part.working, part.prediction) == (whole.working, whole.prediction)
        np.testing.assert_allclose(part.backbone, whole.backbone[: level - 2])


# --- layer of convergence ------------------------------------------------------------------------


def test_the_layer_of_a_pure_curve_is_what_is_left_to_gain():
    trace = system.trace_of(SIZES, power(), QUICK)
    assert system.layer(trace) == pytest.approx(300 * SIZES[-1] ** -0.5, rel=1e-3)


def test_the_layer_is_the_largest_change_of_any_later_prediction():
    """Of two power laws the difference is largest at an end or where its slope is zero."""
    one = system.Trends("power", *(np.array([v]) for v in (80.0, 5.0, 1.5, 1000.0)))
    two = system.Trends("power", *(np.array([v]) for v in (80.5, 6.0, 0.9, 1000.0)))
    place = 1000 * (5.0 * 1.5 / (6.0 * 0.9)) ** (1 / (1.5 - 0.9))
    ends = np.array([1000.0, place, np.inf])
    want = np.abs(one(ends) - two(ends)).max()
    trace = system.Trace(SIZES[:10], two + one, 3, 3)  # levels 3 and 4
    trace = dataclasses.replace(trace, sizes=np.array([700.0, 800.0, 900.0, 1000.0]))
    left = abs(80.0 - one([1000.0])[0, 0])
    assert system.layer(trace) == pytest.approx(max(want, left), rel=1e-3)


def test_layer_and_interval_hold_the_truth_of_noisy_power_laws():
    """Coverage, measured: of 40 curves with noise the end of at least nine tenths is inside."""
    inside, within, predicted = 0, 0, 0
    config = Config(ceiling=100, draws=40)
    for seed in range(40):
        values = noisy(seed)
        told = forecast(SIZES[:20], values[:20], [3000], config)
        if told.reached:
            predicted += 1
            inside += told.low[0] <= power()[-1] <= told.high[0]
            within += abs(told.mean[0] - power()[-1]) <= told.layer
    assert predicted >= 30
    assert inside >= 0.9 * predicted
    assert within >= 0.9 * predicted


# --- hypotheses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [0.0, 0.3, 1.5])
def test_noise_is_no_fault_of_a_good_curve(deviation):
    wrong = 0
    for seed in range(100):
        flat = 80 + deviation * np.random.default_rng(seed).normal(size=len(SIZES))
        for values in (noisy(seed, deviation), flat):
            wrong += not system.hypotheses(SIZES, values).hold
    assert wrong <= 2


@pytest.mark.parametrize("deviation", [0.0, 0.5])
def test_a_curve_that_rises_and_falls_is_told_so(deviation):
    values = 80 - ((SIZES - 1500) / 300) ** 2
    values += deviation * np.random.default_rng(0).normal(size=len(SIZES))
    told = forecast(SIZES, values, [5000], QUICK)
    assert not told.reached
    assert told.mean == told.low == told.high == ()
    assert told.limit is told.layer is None
    assert "rises until about 1" in told.why
    assert "falls" in told.why
    assert not system.hypotheses(SIZES, values).increasing


def test_a_curve_that_bends_upwards_is_told_so():
    values = 20 + 60 / (1 + np.exp(-(SIZES - 2500) / 200))
    told = forecast(SIZES[:25], values[:25], [5000], QUICK)
    assert not told.reached
    assert "bends upwards" in told.why
    assert not system.hypotheses(SIZES[:25], values[:25]).concave


def test_positive_and_bounded():
    assert not system.hypotheses(SIZES, power() - 80).positive
    assert not system.hypotheses(SIZES, power() + 20).bounded


# --- forecast ------------------------------------------------------------------------------------


def test_nothing_is_said_before_the_prediction_level():
    values = power()
    least = 3 + QUICK.look_ahead + 1
    for level in range(1, 31):
        told = forecast(SIZES[:level], values[:level], [5000], QUICK)
        assert told.reached == (level >= least), level
        assert bool(told.mean) == told.reached
        assert told.reached or (told.why and told.level == 0)


def test_a_limit_beyond_all_is_not_believed():
    told = forecast(SIZES, power(limit=110.0, gain=700.0), [5000], QUICK)
    assert not told.reached
    assert "beyond the ceiling" in told.why


def test_units_change_nothing():
    values = noisy(5)
    percent = forecast(SIZES, values, [5000], Config(ceiling=100))
    share = forecast(SIZES / 7, values / 100, [5000 / 7])
    assert percent.level == share.level
    for name in ("mean", "low", "high"):
        assert getattr(percent, name)[0] == pytest.approx(100 * getattr(share, name)[0], rel=1e-6)
    assert percent.layer == pytest.approx(100 * share.layer, rel=1e-6)


def test_losses_are_the_mirror_of_accuracies():
    losses = 0.5 + 40 * SIZES**-0.5 + 0.003 * np.random.default_rng(0).normal(size=len(SIZES))
    told = forecast_losses(SIZES, losses, [10_000])
    assert told.reached, told.why
    assert told.mean[0] == pytest.approx(0.9, abs=0.05)
    assert told.low[0] <= told.mean[0] <= told.high[0] < told.now
    assert told.now == pytest.approx(losses[-1])
    top = losses.max()
    mirror = forecast(SIZES, top - losses, [10_000], Config(ceiling=top))
    assert mirror.mean[0] == pytest.approx(top - told.mean[0])
    assert mirror.layer == told.layer
    up = forecast_losses(SIZES, losses[::-1], [10_000])
    assert not up.reached
    assert "falls until" in forecast_losses(SIZES, 1 + (SIZES / 1500 - 1) ** 2).why
    assert forecast_losses(SIZES, 0 * SIZES).why == "the loss is 0: there is nothing to gain"


def test_folds_and_residuals_give_intervals_that_repeat():
    rng = np.random.default_rng(0)
    folds = power()[:, None] + rng.normal(0, 3, (1, 10)) + rng.normal(0, 0.5, (len(SIZES), 10))
    one, two = (forecast(SIZES, folds, [5000], Config(ceiling=100)) for _ in range(2))
    assert one == two
    assert one.low[0] < one.mean[0] < one.high[0]
    plain = forecast(SIZES, folds.mean(1), [5000], Config(ceiling=100))
    assert plain.mean == one.mean
    # folds that differ a lot from each other say less than the residuals alone
    assert one.high[0] - one.low[0] > plain.high[0] - plain.low[0]
    assert forecast(SIZES, folds, [5000], QUICK).low == ()


def test_the_interval_holds_what_every_plausible_pattern_says():
    values, later = noisy(5, deviation=1.0)[:20], [3000, 9000]
    told = forecast(SIZES[:20], values, later, Config(ceiling=100, draws=20))
    assert told.reached
    said = system.plausible(SIZES[:20], values, later)
    assert len(said) > 1, "noise leaves more than one family"
    assert (np.array(told.low) <= said.min(0)).all()
    assert (said.max(0) <= np.array(told.high)).all()
    assert len(system.plausible(SIZES, power(), later)) == 1, "without noise there is but one"


def test_it_needs_no_torch():
    code = (
        "import sys; from sonograph.systems.study.learning_curves import forecast; "
        "forecast(range(1, 20), [1 - 0.5 / x for x in range(1, 20)], [50]); "
        "sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("sizes", "values", "at", "words"),
    [
        ([1, 2, 3], [0.1, 0.2], [], "not (3,)"),
        ([], [], [], "a learning curve is n sizes"),
        ([1, 2, 2], [0.1, 0.2, 0.3], [], "grow from one"),
        ([0, 1, 2], [0.1, 0.2, 0.3], [], "above 0"),
        ([1, 2, 3], [0.1, np.nan, 0.3], [], "NaN"),
        ([1, 2, 3], [0.1, 0.2, 30], [], "ceiling"),
        ([1, 2, 3], [-0.1, 0.2, 0.3], [], "negative"),
        ([1, 2, 3], [0.1, 0.2, 0.3], [0], "forecast at are above 0"),
        ([1, 2, 3], [0.1, 0.2, 0.3], [np.inf], "forecast at are above 0"),
        ([1, 2, 3], ["a", "b", "c"], [], "numbers"),
    ],
)
def test_what_is_no_curve_is_refused(sizes, values, at, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")):
        forecast(sizes, values, at)


@pytest.mark.parametrize(
    "wrong",
    [
        {"verticality": 0.0},
        {"verticality": 1.0},
        {"slow_down": 0.5},
        {"look_ahead": -1},
        {"ceiling": 0.0},
        {"interval": 1.0},
        {"draws": -1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Config(**wrong)


# --- measures ------------------------------------------------------------------------------------


def test_measures():
    np.testing.assert_allclose(system.percentage_errors([45, 110], [50, 100]), [10, 10])
    assert system.mape([45, 100], [50, 100]) == 5
    assert system.robustness([45, 100, 101.5], [50, 100, 100], tolerance=2) == pytest.approx(2 / 3)
    assert system.decision_reliability([3, 2, 1], [30, 20, 10]) == 1
    assert system.decision_reliability([1, 2, 3], [30, 20, 10]) == 0
    assert system.decision_reliability([1, 1], [30, 20]) == 0.5
    assert system.decision_reliability([1, 2, 3], [10, 20, 20]) == 1, "a tie is no pair"
    for wrong in (([1], [0]), ([1, 2], [1]), ([], [])):
        with pytest.raises(InputError):
            system.percentage_errors(*wrong)
    with pytest.raises(InputError, match="no two learners differ"):
        system.decision_reliability([1, 2], [5, 5])
