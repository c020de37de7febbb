"""What the numbers say about pre-training, by a rule that is fixed before they are known.

For every task the difference pre-trained minus scratch of the pair named in `TaskResult.compare`
is taken seed by seed; its 95 % interval (Student's t) must lie above 0 to call it better, below 0
to call it worse. With one seed nothing is decided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sonograph.report.content import TaskResult
from sonograph.report.numbers import GAP, MINUS, counted, percent

Outcome = Literal["better", "worse", "unclear", "one seed"]
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Difference:
    """Pre-trained minus scratch on one task, in accuracy from -1 to 1."""

    task: TaskResult
    mean: float
    low: float
    high: float
    outcome: Outcome


def student_t(degrees: int) -> float:
    """The two-sided 95 % quantile: tabled up to 10, then by the Cornish-Fisher expansion."""
    if degrees <= len(T_975):
        return T_975[degrees - 1]
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def difference(task: TaskResult) -> Difference | None:
    """The measured gain of pre-training on a task, or None where no pair is named."""
    if task.compare is None:
        return None
    with_it, without = (task.arm(name) for name in task.compare)
    count = min(len(with_it.accuracies), len(without.accuracies))
    if count < 2:
        gain = with_it.mean - without.mean
        return Difference(task, gain, gain, gain, "one seed")
    gains = np.subtract(with_it.accuracies[:count], without.accuracies[:count])
    mean = float(gains.mean())
    half = student_t(count - 1) * float(gains.std(ddof=1)) / math.sqrt(count)
    outcome: Outcome = "better" if mean > half else "worse" if -mean > half else "unclear"
    return Difference(task, mean, mean - half, mean + half, outcome)


def headline(tasks: Sequence[TaskResult]) -> str:
    """One sentence over all tasks."""
    found = [d for task in tasks if (d := difference(task)) is not None]
    if not found:
        return "What the model heard, and what it learned"
    count = {
        outcome: sum(d.outcome == outcome for d in found)
        for outcome in ("better", "worse", "unclear", "one seed")
    }
    if count["one seed"] == len(found):
        return "One seed only: too little to say whether pre-training helped"
    if len(found) == 1:
        return {
            "better": "Pre-training helped",
            "worse": "Pre-training did not help: starting from scratch was better",
            "unclear": "Pre-training made no clear difference",
        }[found[0].outcome]
    of_all = f"of {counted(len(found), 'task')}"
    if count["better"] == len(found):
        every = {2: "both tasks"}.get(len(found), f"all {counted(len(found), 'task')}")
        return f"Pre-training helped on {every}"
    if count["better"]:
        rest = f" and hurt on {count['worse']}" if count["worse"] else ""
        return f"Pre-training helped on {count['better']}{rest} {of_all}"
    if count["worse"]:
        return f"Pre-training did not help: it was worse on {count['worse']} {of_all}"
    return "Pre-training made no clear difference on any task"


def points(share: float) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    sign = MINUS if share < 0 else "+"
    return f"{sign}{abs(100 * share):.1f}"


def gain(found: Difference) -> str:
    """The difference, its interval, and what they mean."""
    if found.outcome == "one seed":
        return f"{points(found.mean)}{GAP}points; one seed cannot tell an effect from luck"
    meaning = {
        "better": "clearly better",
        "worse": "clearly worse",
        "unclear": "no clear difference",
    }[found.outcome]
    interval = f"95{GAP}% interval {points(found.low)} to {points(found.high)}"
    return f"{points(found.mean)}{GAP}points, {interval}: {meaning}"


def sentence(found: Difference) -> str:
    """One task in words, with its numbers."""
    with_it, without = (found.task.arm(name) for name in found.task.compare or ())
    return (
        f"{percent(with_it.mean)} right with pre-training, {percent(without.mean)} from scratch "
        f"(guessing: {percent(found.task.chance)}). {gain(found)}."
    )


def pair(found: Difference) -> str:
    """The two arms that were compared, by name, and the difference."""
    with_it, without = found.task.compare or ("", "")
    return f"{with_it} against {without}: {gain(found)}."
