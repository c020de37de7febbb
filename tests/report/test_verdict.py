"""The headline says what the numbers say, by the rule, also when it is bad news."""

from __future__ import annotations

import dataclasses

import pytest

from sonograph.errors import InputError
from sonograph.report.verdict import difference, headline, sentence, student_t
from tests.report.samples import task

HIGH, LOW, WIDE = (0.80, 0.82, 0.81), (0.60, 0.61, 0.62), (0.40, 0.95, 0.70)


@pytest.mark.parametrize(
    ("pretrained", "scratch", "outcome", "words"),
    [
        (HIGH, LOW, "better", "Pre-training helped"),
        (LOW, HIGH, "worse", "Pre-training did not help"),
        (WIDE, LOW, "unclear", "no clear difference"),
        (HIGH[:1], LOW[:1], "one seed", "One seed only"),
        (LOW, LOW, "unclear", "no clear difference"),
    ],
)
def test_one_task(pretrained, scratch, outcome, words):
    measured = task(pretrained, scratch)
    assert difference(measured).outcome == outcome
    assert words in headline([measured])


def test_several_tasks():
    good, bad, even = task(HIGH, LOW), task(LOW, HIGH), task(WIDE, LOW)
    assert headline([good, good, good]) == "Pre-training helped on all 3\u00a0tasks"
    assert headline([good, good]) == "Pre-training helped on both tasks"
    assert headline([good, even, even]) == "Pre-training helped on 1 of 3\u00a0tasks"
    assert headline([good, bad]) == "Pre-training helped on 1 and hurt on 1 of 2\u00a0tasks"
    assert "did not help: it was worse on 1 of 2" in headline([bad, even])
    assert headline([even, even]) == "Pre-training made no clear difference on any task"


def test_the_interval_is_students():
    found = difference(task((0.5, 0.6, 0.7), (0.4, 0.4, 0.4)))  # gains 0.1 0.2 0.3
    assert found.mean == pytest.approx(0.2)
    assert found.high - found.mean == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)


@pytest.mark.parametrize(("degrees", "value"), [(1, 12.706), (10, 2.228), (11, 2.201), (30, 2.042)])
def test_quantiles_of_student(degrees, value):
    assert student_t(degrees) == pytest.approx(value, abs=2e-3)


def test_words_of_a_task():
    words = sentence(difference(task(HIGH, LOW)))
    assert words.startswith("81\u00a0% right with pre-training, 61\u00a0% from scratch")
    assert "+20.0\u00a0points" in words
    assert words.endswith("clearly better.")


def test_an_unknown_arm_is_refused():
    with pytest.raises(InputError, match="no arm 'proob'"):
        dataclasses.replace(task(), compare=("proob", "scratch"))
