"""How curves are measured, and how the claim is judged, on made observations."""

from __future__ import annotations

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.recipes.study import learning_curves as recipe
from sonograph.recipes.study.learning_curves import Curve, Known, Plan

PLAN = Plan(dense=4, wide=4, folds=4)


def known(clips=120, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, clips)
    vectors = np.eye(classes)[targets] * 2 + rng.normal(size=(clips, classes))
    return Known("made", vectors, targets)


def test_sizes_grow_to_all_of_the_clips():
    for clips, classes in ((184, 7), (286, 9), (630, 5), (900, 10)):
        sizes = Plan().sizes(clips, classes)
        assert len(sizes) == 40
        assert (np.diff(sizes) > 0).all()
        assert sizes[0] >= 2 * classes
        assert sizes[19] <= clips // 4 + 20
        assert sizes[-1] == clips
    with pytest.raises(InputError, match="too few"):
        Plan().sizes(40, 5)


def test_folds_never_share_a_clip_and_begin_with_every_class():
    targets = known().targets
    folds = recipe.divided(targets, 4, seed=1)
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(120))
    for train, test in folds:
        assert not set(train) & set(test)
        assert len(set(train)) == len(train) == len(folds[0][0])
        assert np.bincount(targets[train[:6]]).tolist() == [2, 2, 2]
        assert np.ptp(np.bincount(targets[test], minlength=3) / np.bincount(targets)) < 0.1
    other = recipe.divided(targets, 4, seed=2)
    assert folds[0][0].tolist() != other[0][0].tolist()


def test_a_killed_curve_goes_on_to_the_same_bytes(tmp_path):
    straight = recipe.measured(known(), recipe.neighbours, PLAN, 0, tmp_path / "one.safetensors")
    asked = 0

    def failing(*given):
        nonlocal asked
        asked += 1
        if asked > 14:
            raise KeyboardInterrupt
        return recipe.neighbours(*given)

    path = tmp_path / "two.safetensors"
    with pytest.raises(KeyboardInterrupt):
        recipe.measured(known(), failing, PLAN, 0, path)
    seen = []
    again = recipe.measured(known(), recipe.neighbours, PLAN, 0, path, lambda s, a: seen.append(s))
    assert seen == straight.sizes[3:].tolist()
    np.testing.assert_array_equal(again.accuracies, straight.accuracies)
    assert path.read_bytes() == (tmp_path / "one.safetensors").read_bytes()
    with pytest.raises(InputError, match="another curve"):
        recipe.measured(known(clips=100), recipe.neighbours, PLAN, 0, path)


def test_fit_leaves_a_curve_and_a_log_and_goes_on(tmp_path, monkeypatch):
    made = known(clips=400, classes=4)
    monkeypatch.setattr(recipe, "vectors_of", lambda question, clips, folder: made)
    told = recipe.fit(tmp_path, [], steps=24)
    assert set(told) == {"loss_before", "loss_after", "steps", "clips_per_s"}
    assert told["steps"] == 24
    curve, log = tmp_path / "curve.safetensors", tmp_path / "log.jsonl"
    before = curve.read_bytes(), log.read_bytes()
    assert len(log.read_text().splitlines()) == 24
    again = recipe.fit(tmp_path, [], steps=24)
    assert (curve.read_bytes(), log.read_bytes()) == before
    assert again["loss_before"] == told["loss_before"]


def test_a_forecast_is_judged_against_the_rest_of_the_curve():
    sizes = Plan().sizes(900, 5)
    truth = 0.9 - 2 * sizes.astype(float) ** -0.5
    curve = Curve(sizes, np.repeat(truth[:, None], 10, axis=1))
    told = recipe.judged(curve, 27)
    assert told["mape"]["settled power"] < 1e-3 < told["mape"]["last value"]
    assert told["end"]["last value"] == pytest.approx(100 * (truth[-1] - truth[26]) / truth[-1])
    assert told["mape"]["free power"] < 1e-3
    assert min(told["mape"][arm] for arm in ("exponential", "logarithm")) > 0.1
    assert set(told["mape"]) == set(recipe.ARMS)
    assert told["in_layer"]
    noise = np.random.default_rng(0).normal(0, 0.2, len(sizes))
    wild = Curve(sizes, np.clip(0.5 + noise, 0, 1)[:, None])
    assert recipe.judged(wild, 10) is None


def test_thinned_steps_are_constant():
    sizes = Plan().sizes(4000, 5)
    even = recipe.thinned(Curve(sizes, np.zeros((40, 2))), 20)
    assert np.diff(even.sizes).max() <= 1.05 * np.diff(even.sizes).min()
    assert even.sizes[-1] == sizes[-1]
    assert len(even.sizes) == len(even.accuracies) == 27


def rows(ours, peers, count=6, seeds=3):
    """Curves of `count` learners with given errors; learners differ in their truth."""
    rng = np.random.default_rng(0)
    made = []
    for seed in range(seeds):
        for k in range(count):
            errors = {arm: abs(peers + rng.normal(0, 0.1)) for arm in recipe.ARMS}
            errors[recipe.ARMS[0]] = abs(ours + rng.normal(0, 0.1))
            told = {"mape": errors, "end": errors, "truth": k / 10, "robust": 0.5}
            told |= {"in_interval": True, "in_layer": False}
            told["said"] = {arm: k / 10 if errors[arm] < 2 else -k / 10 for arm in recipe.ARMS}
            made.append(
                {"task": f"t{k % 2}", "learner": f"l{k}", "seed": seed, "half": told}
                | {"quarter": told if count > 6 else None}
            )
    return made


def test_the_rules_decide_as_they_are_written():
    for ours, peers, want in ((1.0, 3.0, "shown"), (3.0, 1.0, "not shown"), (2, 2, "inconclusive")):
        figures, verdict = recipe.verdict_half(rows(ours, peers))
        assert verdict == want
        assert figures[0].value == pytest.approx(peers - ours, abs=0.3)
        assert recipe.verdict_quarter(rows(ours, peers, count=8))[1] == want
    assert recipe.verdict_quarter(rows(1.0, 3.0))[1] == "inconclusive", "none was predicted"
    assert recipe.verdict_order(rows(1.0, 3.0, count=8))[1] == "shown"
    assert recipe.verdict_order(rows(3.0, 1.0, count=8))[1] == "not shown"
    one_worse = rows(1.0, 3.0)
    for row in one_worse:
        row["half"]["mape"]["logarithm"] = 0.5 * row["half"]["mape"]["settled power"]
    assert recipe.verdict_half(one_worse)[1] == "not shown"


def test_learners_answer(monkeypatch):
    pytest.importorskip("sklearn")
    made = known()
    for name, learner in recipe.learners().items():
        first = learner(made.vectors[:80], made.targets[:80], made.vectors[80:], made.targets[80:])
        assert 0.5 < first <= 1, name
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"sonograph\[probe\]"):
        recipe.learners()
