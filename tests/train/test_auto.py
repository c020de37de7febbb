"""The search for a way of adapting, on made tasks that are small enough to try everything."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.report.choice import choice_page
from sonograph.train.auto import Candidate, Search, better_rate, drop_hopeless, search
from sonograph.train.finetune import measure
from tests.train.test_finetune import examples

__all__ = ["examples"]
QUICK = Search(minutes=9.0, methods=("linear", "lora", "adapter"), finalists=2, folds=2, batch=4)
FOLDS = [
    ([k for k in range(12) if k // 4 != fold], list(range(4 * fold, 4 * fold + 4)))
    for fold in range(3)
]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("sonograph.train.auto.FEWEST", 3)
    monkeypatch.setattr("sonograph.train.auto.MOST", 6)


@pytest.mark.slow
def test_it_leaves_a_model_that_answers_and_says_why(examples, small, tmp_path):
    base = tmp_path / "base"
    weights.save_folder(base, registry.build("ssast-test", seed=1), {})
    encoder = weights.load(base)
    found = search(encoder, examples, FOLDS, examples, tmp_path / "run", QUICK, str(base))
    assert {one.method for one in found.candidates} == set(QUICK.methods)
    assert set(found.kept) <= set(QUICK.methods)
    assert found.why
    tried = [one for one in found.candidates if one.first is not None]
    assert all(bool(one.dropped) != bool(one.folds) for one in tried)
    assert all(len(one.folds) == 2 for one in tried if one.folds)
    assert all((one.other_rate is not None) == bool(one.folds) for one in tried)
    assert all(one.first >= one.other_rate for one in tried if one.folds)
    loaded = weights.load(tmp_path / "run")
    assert torch.equal(measure(loaded, examples).scores, found.measured.scores)
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert told["kept"] == list(found.kept)
    text = choice_page(found, "a < b", tmp_path / "run" / "report.html").read_text()
    assert "a &lt; b" in text
    assert all(one.method in text for one in found.candidates)
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")

    again = search(encoder, examples, FOLDS, examples, tmp_path / "run", QUICK, str(base))
    assert again.kept == found.kept
    assert torch.equal(again.measured.scores, found.measured.scores)
    other = dataclasses.replace(QUICK, seed=1)
    with pytest.raises(InputError, match="begun with another plan"):
        search(encoder, examples, FOLDS, examples, tmp_path / "run", other, str(base))


def test_methods_that_do_not_fit_are_named_and_left_out(examples, small, tmp_path):
    encoder = registry.build("panns-test").encoder
    fewer = dataclasses.replace(examples, features=examples.features[:, : encoder.spec.rows])
    config = dataclasses.replace(QUICK, methods=("linear", "adapter"))
    found = search(encoder, fewer, FOLDS, None, tmp_path, config)
    adapter = next(one for one in found.candidates if one.method == "adapter")
    assert "does not fit this model" in adapter.dropped
    assert found.kept == ("linear",)
    assert found.measured is None


def test_too_little_time_and_too_few_clips(examples, tmp_path):
    encoder = registry.build("ssast-test")
    with pytest.raises(InputError, match="give more --minutes"):
        search(encoder, examples, FOLDS, None, tmp_path, dataclasses.replace(QUICK, minutes=0.001))
    with pytest.raises(InputError, match="do not make 3 folds"):
        search(encoder, examples, FOLDS[:2], None, tmp_path, QUICK)


def stand(method: str, first: float, forecast: tuple[float, float, float] | None = None):
    return Candidate(method, first=first, forecast=forecast)


def test_hopeless_is_who_cannot_reach_what_the_leader_has():
    lead, near = stand("a", 0.8), stand("b", 0.78)
    low, rising = stand("c", 0.7, (0.72, 0.7, 0.75)), stand("d", 0.7, (0.9, 0.8, 0.95))
    behind = stand("e", 0.2)
    found = {
        one.method: one.dropped for one in drop_hopeless([lead, near, low, rising, behind], 100, 9)
    }
    assert found["a"] == found["b"] == found["d"] == ""
    assert "forecast to end at 72.0% (at most 75.0%), below what a has" in found["c"]
    assert "behind a (80.0%) by more than chance" in found["e"]


def test_the_better_of_two_rates_is_kept_and_the_other_told():
    own = stand("a", 0.5)
    for first, rate, left in ((0.6, 2.0, 0.5), (0.5, 1.0, 0.5), (0.4, 1.0, 0.4)):
        found = better_rate(own, dataclasses.replace(own, first=first, rate=2.0))
        assert (found.rate, found.other_rate) == (rate, left)


def test_a_finalist_goes_on_at_the_rate_it_kept(examples, small, tmp_path, monkeypatch):
    """Where only the second rate learns anything, everything later is trained at it."""
    taken = lambda own, other: dataclasses.replace(other, other_rate=own.first)  # noqa: E731
    monkeypatch.setattr("sonograph.train.auto.better_rate", taken)
    config = dataclasses.replace(QUICK, methods=("linear",))
    search(registry.build("ssast-test"), examples, FOLDS, None, tmp_path, config)
    rates = {}
    for path in sorted((tmp_path / "tried").iterdir()):
        card = json.loads((path / "card.json").read_text())
        rates[path.name] = card["finetune"]["train"]["lr"]
    own = registry.methods()["linear"].make().lr
    assert rates.pop("linear-final") == 2 * own
    assert {name for name, rate in rates.items() if rate == own} == {
        name for name in rates if "rate2" not in name
    }
    assert sum("rate2" in name for name in rates) == 2


def test_few_clips_drop_nobody_by_chance_but_only_some_go_on():
    found = drop_hopeless([stand("a", 0.8), stand("b", 0.5), stand("c", 0.6)], 5, 2)
    assert [one.method for one in found if not one.dropped] == ["a", "c"]
    assert "no time for more than 2" in found[1].dropped
