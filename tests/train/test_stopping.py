"""Rules that end a run early; a run that was killed ends in the same place."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file

from sonograph.errors import InputError
from sonograph.train.log import read_log
from sonograph.train.stopping import WhenFlat
from sonograph.train.trainer import Stopped, TrainConfig, Trainer
from tests.train import tiny
from tests.train.test_trainer import stop_at

BASE = TrainConfig(steps=12, lr=1e-2, save_every=5, log_every=5, eval_every=2, device="cpu")


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)


def train(folder, config=BASE, **more):
    trainer = Trainer(
        tiny.Tiny(), tiny.noisy, tiny.Numbers(), folder, config, tiny.evaluate, **more
    )
    return trainer.run()


def after_three(lines):
    """A pure function of the held-out lines."""
    assert all(line["kind"] == "valid" for line in lines)
    return "three are enough" if len(lines) >= 3 else ""


def lines(curve, name="loss"):
    return [{"step": 10 * k, "kind": "valid", name: value} for k, value in curve]


def test_a_rule_ends_the_run_and_the_run_says_why(tmp_path):
    summary = train(tmp_path, stopping=after_three)
    assert (summary.steps, summary.ended) == (6, "three are enough")
    log = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in log if line["kind"] == "valid"] == [2, 4, 6]
    assert (tmp_path / "last.safetensors").is_file()
    assert train(tmp_path / "other").ended == ""


@pytest.mark.parametrize("step", [3, 5, 6])
def test_a_killed_run_ends_where_it_would_have(tmp_path, step):
    train(tmp_path / "one", stopping=after_three)
    with pytest.raises(Stopped) if step < 6 else pytest.MonkeyPatch.context():
        train(tmp_path / "two", stopping=after_three, progress=stop_at(step))
    summary = train(tmp_path / "two", stopping=after_three)
    assert summary.steps == 6
    for name in ("model.safetensors", "last.safetensors"):
        first, second = (load_file(tmp_path / n / name) for n in ("one", "two"))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_an_ended_run_stays_ended_until_the_rule_is_taken_away(tmp_path):
    train(tmp_path, stopping=after_three)
    again = train(tmp_path, stopping=after_three)
    assert (again.steps, again.ended) == (6, "three are enough")
    assert (train(tmp_path).steps, train(tmp_path).ended) == (12, "")


def test_the_configuration_makes_the_rule(tmp_path):
    """Against the loss of a real run: ended as soon as the rule says so, and not before."""
    config = TrainConfig(
        steps=60, lr=3e-3, save_every=7, eval_every=1, device="cpu", stop_when_flat=50.0
    )
    summary = train(tmp_path, config)
    log = [line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "valid"]
    rule = WhenFlat(50.0, "loss", "min", until=60)
    assert summary.steps < 60
    assert summary.ended == rule(log)
    assert [k for k in range(1, len(log) + 1) if rule(log[:k])] == [len(log)]


def test_a_rule_without_evaluations_is_refused(tmp_path):
    for more in ({"config": TrainConfig(stop_when_flat=0.1)}, {"stopping": after_three}):
        given = {"config": TrainConfig()} | more
        with pytest.raises(InputError, match="follows evaluations"):
            Trainer(tiny.Tiny(), tiny.plain, tiny.Numbers(), tmp_path, **given)
    with pytest.raises(InputError, match="stop_when_flat"):
        TrainConfig(stop_when_flat=-1.0)


def test_flat_is_less_than_tau_to_gain():
    curve = [(k, 0.5 + 2.0 / k) for k in range(1, 41)]
    rule = WhenFlat(0.2, "loss", "min")
    first = next(n for n in range(1, 41) if rule(lines(curve[:n])))
    assert curve[first - 1][1] - 0.5 == pytest.approx(0.2, abs=0.01)
    assert "is flat" in rule(lines(curve[:first]))
    rising = [(k, 0.9 - 0.5 / k) for k in range(1, 41)]
    assert WhenFlat(0.05, "accuracy", "max")(lines(rising, "accuracy"))
    assert not WhenFlat(0.01, "accuracy", "max")(lines(rising, "accuracy"))


def test_what_the_plan_leaves_to_gain_counts_and_not_the_limit():
    """1 + 2 / sqrt(k): at k = 16 the limit is 0.5 away, the planned end at 25 only 0.1."""
    curve = [(k, 1 + 2 / k**0.5) for k in range(1, 26)]
    endless, planned = (WhenFlat(0.1001, "loss", "min", until=end) for end in (math.inf, 250))
    assert not endless(lines(curve))
    first = next(n for n in range(1, 26) if planned(lines(curve[:n])))
    assert first == 16
    assert "until step 250 at most 0.1 is left" in planned(lines(curve[:first]))


# held-out loss of ssast-test on ESC-10 (batches of 8, constant rate), every 17 of 680 steps
REAL = (
    8.127, 7.875, 7.713, 7.420, 7.015, 6.732, 6.279, 5.994, 5.716, 5.544,
    5.386, 5.558, 5.490, 5.212, 5.302, 5.280, 5.628, 5.467, 5.245, 5.280,
    5.306, 5.264, 4.980, 4.983, 5.263, 5.125, 5.054, 4.953, 5.288, 5.130,
    4.932, 4.968, 5.067, 4.937, 5.061, 5.047, 5.040, 5.124, 5.034, 4.923,
)  # fmt: skip


@pytest.mark.parametrize(("tau", "step"), [(0.1, 612), (0.5, 425), (0.01, None)])
def test_a_real_run_is_ended_and_loses_less_than_it_was_told(tau, step):
    """Asked about endless steps, as the layer of convergence is, the rule would not end it."""
    curve = [{"step": 17 * (k + 1), "loss": loss} for k, loss in enumerate(REAL)]
    rule = WhenFlat(tau, "loss", "min", until=680)
    ends = [n for n in range(1, 40) if rule(curve[:n])]
    assert (curve[ends[0] - 1]["step"] if ends else None) == step
    if step:
        assert min(REAL[: ends[0]]) - min(REAL) < tau
    assert not any(WhenFlat(tau, "loss", "min")(curve[:n]) for n in range(1, 41))


def test_noise_does_not_end_a_run_that_gains_more_than_it():
    """Over 20 draws of noise, a learner that goes on learning is not ended, one at rest is."""
    rule = WhenFlat(0.05, "loss", "min", until=400)
    for seed in range(20):
        noise = 0.03 * torch.randn(40, generator=torch.Generator().manual_seed(seed))
        learning = [(k, 3 - 0.05 * k + float(noise[k - 1])) for k in range(1, 31)]
        assert not any(rule(lines(learning[:n])) for n in range(1, 31))
        flat = [(k, 1 + 1 / k**2 + float(noise[k - 1])) for k in range(1, 41)]
        assert any(rule(lines(flat[:n])) for n in range(1, 41))


@pytest.mark.parametrize(
    "curve",
    [
        [],
        [(k, 0.5) for k in range(1, 6)],
        [(k, 1 + (k / 10 - 1) ** 2) for k in range(1, 30)],
        [(k, -0.1 * k) for k in range(1, 30)],
        [(k, float("nan")) for k in range(1, 30)],
    ],
    ids=["empty", "short", "turns around", "negative", "nan"],
)
def test_what_cannot_be_told_does_not_end_a_run(curve):
    assert WhenFlat(1e9, "loss", "min")(lines(curve)) == ""
    assert WhenFlat(1e9, "accuracy", "max")(lines(curve)) == ""


def test_evaluations_that_choose_nothing_are_logged_and_the_last_weights_are_left(tmp_path):
    summary = train(tmp_path, best=None)
    assert summary.best is None
    log = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in log if line["kind"] == "valid"] == [2, 4, 6, 8, 10, 12]
    chosen, last = (load_file(tmp_path / f"{n}.safetensors") for n in ("model", "last"))
    assert all(torch.equal(chosen[key], last[key]) for key in last)
    for wrong in ({"stop_when_flat": 0.1}, {"schedule": "plateau"}):
        with pytest.raises(InputError, match="`best`"):
            train(tmp_path / "other", TrainConfig(**wrong), best=None)
