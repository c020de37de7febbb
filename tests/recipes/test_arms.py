from __future__ import annotations

import dataclasses
import time

import pytest

from sonograph.recipes import arms
from sonograph.recipes.represent import ssast, tera
from sonograph.records import Record

BY_TASK = {
    "effect": {"a": [0.5, 0.6, 0.7], "b": [0.4, 0.4, 0.5], "c": [0.1, 0.1, 0.4]},
    "tone": {"a": [0.3, 0.4, 0.5], "b": [0.1, 0.3, 0.4], "c": [0.9, 0.9, 0.9]},
}


def test_a_difference_is_paired_by_task_and_seed():
    verdict, count, figures = arms.difference("a", "b", BY_TASK, also=("c",))
    assert (verdict, count) == ("shown", 6)
    gain, *told = figures
    assert gain.name == "a minus b"
    assert gain.value == pytest.approx(0.9 / 6)
    assert gain.low < gain.value < gain.high
    assert [figure.name for figure in told] == [
        f"{task}, {arm}" for task in BY_TASK for arm in "abc"
    ]
    assert told[0].value == pytest.approx(0.6)
    assert arms.difference("b", "a", BY_TASK)[0] == "not shown"
    assert arms.difference("a", "c", BY_TASK)[0] == "inconclusive"


@pytest.mark.parametrize("recipe", [ssast.Recipe(objective="joint"), tera.Recipe(crop_s=1.0)])
def test_a_pre_training_of_an_arm_keeps_what_is_its_own(recipe):
    made = arms.once(recipe, 250, seed=2)
    assert (made.train.steps, made.train.warmup_steps, made.train.seed) == (250, 25, 2)
    assert (made.train.eval_every, made.train.save_every) == (250, 0)
    assert dataclasses.replace(made, train=recipe.train) == recipe


def test_a_lesson():
    made = arms.lesson(16, 120, 3e-3, ("*.skip",))
    assert (made.batch, made.method) == (16, "full")
    assert (made.train.steps, made.train.warmup_steps, made.train.lr) == (120, 12, 3e-3)
    assert made.train.no_decay == ("*.skip",)


def test_records_are_named_by_scale_and_count_all_runs(tmp_path):
    record = Record(
        system="ssast", kind="claim", sentence="s", rule="r", verdict="shown", measured=()
    )
    began = time.perf_counter() - 500
    ((name, first),) = arms.finished([("claim", record)], "cpu", tmp_path, began)
    ((far, second),) = arms.finished([("claim", record)], "gpu", tmp_path, began)
    assert (name, far) == ("claim", "claim-gpu")
    assert second.seconds == pytest.approx(2 * first.seconds, rel=0.1)
