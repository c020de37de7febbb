"""Ways of adapting one encoder, on tasks that are new to it, with the same labels and updates.

What the claims about adaptation share: each of them names its arms and the rule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.metrics.intervals import paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import (
    EFFECT,
    INSTRUMENT,
    Outcome,
    Question,
    Task,
    Way,
    learn,
    open_task,
    verdict_of,
)
from sonograph.recipes.pretraining import divided
from sonograph.records import Figure, Record
from sonograph.train.adapt import cost, methods_of
from sonograph.train.finetune import Examples, Finetune, chosen_methods, examples_of, finetune
from sonograph.train.log import read_log

START = "ast-mini"
QUESTIONS = (EFFECT, INSTRUMENT)  # neither was among the labels that START learned


@dataclasses.dataclass(frozen=True)
class Plan(Config):
    """What every arm is given; fixed before a run."""

    start: str = START
    labels: int = 20  # of each class
    frames: int = 128
    updates: int = 60
    batch: int = 16
    seeds: int = 3


@dataclasses.dataclass(frozen=True)
class Arm(Config):
    """One way: a method with its settings, its size or budget, its learning rate."""

    name: str
    method: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    budget: str = ""
    lr: float = 0.0  # 0: the method's own
    updates: int = 1  # times those of the plan: of methods whose updates cost next to nothing

    def taught(self, plan: Plan) -> Finetune:
        steps = plan.updates * self.updates
        lr = self.lr or min(one.lr for one in methods_of(self.method))
        return Finetune(
            method=self.method, settings=self.settings, budget=self.budget, batch=plan.batch
        ).override(
            {
                "train.steps": steps,
                "train.lr": lr,
                "train.warmup_steps": steps // 10,
                "train.log_every": max(1, steps // 10),
            }
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Contest:
    """What each arm came to: outcomes by task and arm."""

    plan: Plan
    tasks: tuple[Task, ...]
    outcomes: dict[str, dict[str, Outcome]]
    trained: dict[str, int]  # numbers that an arm trains, without the head that all have

    def accuracies(self, arm: str) -> list[float]:
        """One a task and seed, in the same order for every arm."""
        return [a for of_task in self.outcomes.values() for a in of_task[arm].accuracies]

    def mean(self, arm: str) -> float:
        return float(np.mean(self.accuracies(arm)))

    def rows(self) -> dict[str, Any]:
        """For a record: {task: {clips, classes, majority, arms: {arm: {...}}}}."""
        return {
            task.question.name: {
                "clips": len(task.examples),
                "learned_from": [len(train) for train, _ in task.folds],
                "classes": len(task.examples.classes),
                "majority": task.majority,
                "arms": {
                    name: {
                        "accuracies": list(outcome.accuracies),
                        "trained": self.trained[name],
                        "seconds": outcome.seconds,
                    }
                    for name, outcome in self.outcomes[task.question.name].items()
                },
            }
            for task in self.tasks
        }


def hold(
    arms: Sequence[Arm],
    plan: Plan,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
    questions: Sequence[Question] = QUESTIONS,
) -> Contest:
    """Teach every arm every task with every seed; started again it goes on where it was."""
    encoder: Any = weights.load(plan.start)
    clips = corpora.open_sets(["core"], data_folder)
    tasks = open_tasks(questions, clips, encoder, plan)
    outcomes: dict[str, dict[str, Outcome]] = {}
    for task in tasks:
        found = outcomes.setdefault(task.question.name, {})
        for arm in arms:
            way = Way(arm.name, arm.name, lambda seed: encoder, arm.taught(plan))
            place = folder / task.question.name / arm.name
            tell = progress(f"{task.question.name}: {arm.name}")
            found[arm.name] = learn(task, way, range(plan.seeds), place, tell)
    trained = {arm.name: cost(encoder, chosen_methods(encoder, arm.taught(plan))) for arm in arms}
    return Contest(plan, tasks, outcomes, trained)


def open_tasks(
    questions: Sequence[Question], clips: Clips, encoder: Any, plan: Plan
) -> tuple[Task, ...]:
    """The tasks with their folds, a fold a seed."""
    return tuple(
        open_task(question, clips, encoder.spec, plan.frames, plan.seeds, labels=plan.labels)
        for question in questions
    )


def tuned(
    arm: Arm, rates: Sequence[float], task: Task, encoder: Any, plan: Plan, folder: Path
) -> tuple[Arm, dict[str, float]]:
    """The arm at the best of some learning rates, and the accuracy of each.

    Within the clips that the first seed learns from: two thirds teach, the rest choose, so that
    no clip that is measured on has a say.
    """
    rows = task.folds[0][0]
    teach = [row for k, row in enumerate(rows) if k % 3]
    choose = [row for k, row in enumerate(rows) if not k % 3]
    inner = dataclasses.replace(task, folds=((teach, choose),))
    found = {}
    for rate in rates:
        one = dataclasses.replace(arm, lr=rate)
        way = Way(arm.name, arm.name, lambda seed: encoder, one.taught(plan))
        outcome = learn(inner, way, [0], folder / "rates" / f"{arm.name}-{rate:g}")
        found[f"{rate:g}"] = outcome.accuracies[0]
    best = max(rates, key=lambda rate: (found[f"{rate:g}"], -rate))  # ties go to the smaller rate
    return dataclasses.replace(arm, lr=best), found


def record_of(
    held: Contest,
    arms: Sequence[Arm],
    a: str,
    b: str,
    sentence: str,
    rule: str,
    margin: float = 0.0,
) -> Record:
    """The difference in accuracy of two arms, paired by task and seed, beside all arms.

    margin: how much worse `a` may be than `b` and still count as on its level.
    """
    ours, theirs = held.accuracies(a), held.accuracies(b)
    gain = paired_interval(ours, theirs)
    return Record(
        system="",
        kind="claim",
        sentence=sentence,
        rule=rule.format(a=a, b=b, pairs=len(ours), margin=margin),
        verdict=verdict_of(gain, margin),
        measured=(
            Figure(f"{a} minus {b}", gain.mean, gain.low, gain.high, "accuracy"),
            *(Figure(arm.name, held.mean(arm.name), unit="accuracy") for arm in arms),
            *(Figure(f"numbers of {arm.name}", held.trained[arm.name]) for arm in arms),
        ),
        arms=(a, b),
        data=tuple(
            f"{task.question.name}: {', '.join(task.question.corpora)}" for task in held.tasks
        ),
        seeds=tuple(range(held.plan.seeds)),
        details={
            "scale": held.plan.to_dict(),
            "arms": [arm.to_dict() for arm in arms],
            "tasks": held.rows(),
        },
    )


RULE = (
    "The 95 % Student's t interval of the difference in test accuracy ({a} minus {b}), paired by "
    "task and seed over {pairs} pairs, lies above 0: shown; below 0: not shown; else inconclusive. "
    "Every arm starts from the same encoder, with the same labels, batches and updates; seed s "
    "learns on split s, whose recordings are on one side only."
)


# --- a short training, for the record that a method trains ---------------------------------------


def fit(
    config: Finetune, folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, float]:
    """Teach START the commonest labels of some clips by a method; again on the folder it goes on.

    Returns the cross-entropy on held-out clips before and after, the updates and their speed.
    """
    tasks = [task for task in clips.tasks() if len(clips.labelled(task).classes(task)) > 1]
    if not tasks:
        raise InputError("the clips have no labels of two classes to teach")
    task = max(tasks, key=lambda name: (len(clips.labelled(name)), name))
    train, test = divided(clips.labelled(task))
    encoder: Any = weights.load(START)
    learned = examples_of(train, task, encoder.spec, 128)
    known = test.filter(lambda clip: clip.labels[task] in learned.classes)
    check = examples_of(known, task, encoder.spec, 128, learned.classes)
    changes: dict[str, Any] = {"batch": 16, "train.save_every": 5, "train.log_every": 1}
    changes |= {"train.steps": steps or 60, "train.warmup_steps": 6}
    none = config.override({**changes, "train.steps": 1, "train.lr": 0.0, "train.warmup_steps": 0})
    start: Any = weights.load(START)
    before = finetune(start, learned, None, folder / "untaught", none)
    config = config.override(changes)
    after = finetune(encoder, learned, None, folder, config, None, progress, START)
    lines = [x for x in read_log(folder / "training" / "log.jsonl") if x["kind"] == "train"]
    return {
        "loss_before": loss_of(before.model, check),
        "loss_after": loss_of(after.model, check),
        "steps": steps or 60,
        "clips_per_s": lines[-1].get("clips_per_s", float("nan")) if lines else float("nan"),
    }


@torch.inference_mode()
def loss_of(model: Any, examples: Examples) -> float:
    """Mean cross-entropy."""
    model.eval()
    sums = 0.0
    for begin in range(0, len(examples), 32):
        part = examples.take(range(begin, min(begin + 32, len(examples))))
        logits = model(part.features, part.lengths)
        sums += float(cross_entropy(logits, part.targets, reduction="sum"))
    return sums / len(examples)
