"""One task learned in several ways, over the same folds: what claims and the demo compare.

Fairness (DESIGN.md, section 5): an arm that starts from scratch gets the updates of pre-training
too, as more of its own; one update of the joint objective counts as two, since it makes two passes.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int

from sonograph import weights
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.metrics.intervals import Interval, paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.records import Figure, Record, Verdict, stamped
from sonograph.train.finetune import Examples, Finetune, Finetuned, examples_of, finetune

Trained = TypeVar("Trained", bound=pretraining.Recipe)


@dataclasses.dataclass(frozen=True)
class Question:
    """A task as it is asked: which labels of which corpora."""

    name: str
    task: str  # of the clips' labels
    corpora: tuple[str, ...]
    words: str
    fewest: int = 6  # clips a class must have: below that a fold has none to test
    most: int = 700  # clips in all; of more, those whose id hashes lowest


EFFECT = Question("effect", "effect", ("ufoai",), "Which kind of sound effect is it?", fewest=12)
INSTRUMENT = Question(
    "instrument", "instrument", ("timgm6mb",), "Which family of instruments plays?"
)
TONE = Question("tone", "tone", ("gcin",), "Which of five Mandarin tones is spoken?")
PROMPT = Question("prompt", "prompt", ("asterisk-en",), "What kind of announcement is spoken?")
CORE_QUESTIONS = (EFFECT, INSTRUMENT, TONE)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A question with its examples, and folds of (train rows, test rows)."""

    question: Question
    examples: Examples
    folds: tuple[tuple[list[int], list[int]], ...]
    clips: Clips

    @property
    def majority(self) -> float:
        """The accuracy of always answering the commonest class."""
        return float(np.bincount(self.examples.targets.numpy()).max() / len(self.examples))


def open_task(
    question: Question,
    clips: Clips,
    spec: FeatureSpec,
    frames: int,
    folds: int = 3,
    progress: Progress = silent,
    labels: int | None = None,
) -> Task:
    """Read a task; groups (recordings) never stand on both sides of a fold.

    labels: how many clips of a class are learned from at most, those whose id hashes lowest.
    """
    mine = clips.filter(
        lambda clip: question.task in clip.labels and clip.source in question.corpora
    )
    mine = mine.filter(lambda clip: clip.duration_s >= 0.1)
    if not len(mine):
        raise InputError(
            f"no clip is labelled for {question.task!r}: run `sonograph data get "
            f"{' '.join(question.corpora)}`"
        )
    counts = dict.fromkeys(mine.classes(question.task), 0)
    for clip in mine:
        counts[clip.labels[question.task]] += 1
    mine = mine.filter(lambda clip: counts[clip.labels[question.task]] >= question.fewest)
    if len(mine) > question.most:
        lowest = sorted(mine, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())
        kept = {clip.id for clip in lowest[: question.most]}
        mine = mine.filter(lambda clip: clip.id in kept)
    examples = examples_of(mine, question.task, spec, frames, progress=progress)
    row = {name: number for number, name in enumerate(examples.ids)}
    pairs = [
        (_at_most(train, question.task, labels) if labels else list(train), list(test))
        for train, test in mine.folds(question.task, folds)
    ]
    return Task(
        question,
        examples,
        tuple(([row[c.id] for c in train], [row[c.id] for c in test]) for train, test in pairs),
        mine,
    )


def _at_most(clips: Clips, task: str, count: int) -> list[Clip]:
    """So many clips of each class, those whose id hashes lowest."""
    kept: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest()):
        of_class = kept.setdefault(clip.labels[task], [])
        if len(of_class) < count:
            of_class.append(clip)
    return [clip for of_class in kept.values() for clip in of_class]


@dataclasses.dataclass(frozen=True)
class Way:
    """One arm: how an encoder starts for a seed, and how it is taught."""

    name: str
    words: str
    start: Callable[[int], Any]
    config: Finetune
    extra_updates: int = 0  # from scratch: what the others spent on pre-training

    def for_seed(self, seed: int) -> Finetune:
        steps = self.config.train.steps + self.extra_updates
        return self.config.override({"train.steps": steps, "train.seed": seed})


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What an arm came to in one task: one accuracy a seed, each on a fold of its own."""

    way: Way
    accuracies: tuple[float, ...]
    confusion: Int[np.ndarray, "classes classes"]
    seconds: float  # of one seed, on average
    trained_parameters: int
    total_parameters: int
    folders: tuple[Path, ...]


def learn(
    task: Task, way: Way, seeds: Sequence[int], folder: Path, progress: Progress = silent
) -> Outcome:
    """Teach and measure one arm: seed s learns on fold s and answers the clips left out of it."""
    results: list[Finetuned] = []
    folders = []
    for seed in seeds:
        train, test = (task.examples.take(rows) for rows in task.folds[seed % len(task.folds)])
        place = folder / f"seed{seed}"
        encoder = copy.deepcopy(way.start(seed))
        system = encoder.describe()["system"]
        card = {"system": system, "task": task.question.task, "arm": way.name, "seed": seed}
        results.append(finetune(encoder, train, test, place, way.for_seed(seed), card, progress))
        folders.append(place)
    measured = [r.measured for r in results if r.measured is not None]
    return Outcome(
        way,
        tuple(m.accuracy for m in measured),
        np.sum([m.confusion for m in measured], axis=0),
        sum(r.seconds for r in results) / len(results),
        results[0].trained_parameters,
        results[0].total_parameters,
        tuple(folders),
    )


def compare(
    questions: Sequence[Question],
    clips: Clips,
    spec: FeatureSpec,
    frames: int,
    ways: Sequence[Way],
    seeds: Sequence[int],
    folder: Path,
    progress: Callable[[str], Progress] = lambda title: silent,
    labels: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Every arm in every task: {task: {"clips", "classes", "majority", arm: [accuracy a seed]}}.

    All arms hear the same features. labels: see `open_task`.
    """
    by_task: dict[str, dict[str, Any]] = {}
    for question in questions:
        task = open_task(question, clips, spec, frames, len(seeds), labels=labels)
        row: dict[str, Any] = {"clips": len(task.examples), "classes": len(task.examples.classes)}
        row["majority"] = task.majority
        for way in ways:
            place = folder / question.name / way.name
            outcome = learn(task, way, seeds, place, progress(f"{question.name}: {way.name}"))
            row[way.name] = list(outcome.accuracies)
        by_task[question.name] = row
    return by_task


def task_figures(by_task: Mapping[str, Mapping[str, Any]], arms: Sequence[str]) -> list[Figure]:
    """The mean accuracy of each arm in each task, for a record."""
    return [
        Figure(f"{task}, {arm}", float(np.mean(row[arm])), unit="accuracy")
        for task, row in by_task.items()
        for arm in arms
    ]


def lesson(batch: int, updates: int, lr: float, no_decay: tuple[str, ...] = ()) -> Finetune:
    """How a labelled task is learned in an arm: a tenth of the updates warms up."""
    return Finetune().override(
        {"batch": batch, "train.steps": updates, "train.lr": lr,
         "train.warmup_steps": updates // 10, "train.no_decay": no_decay}
    )  # fmt: skip


def once(recipe: Trained, updates: int, seed: int) -> Trained:
    """The pre-training of an arm: one run of so many updates, looked at when it is done."""
    return recipe.override(
        {"train.steps": updates, "train.seed": seed, "train.warmup_steps": updates // 10,
         "train.eval_every": updates, "train.save_every": 0}
    )  # fmt: skip


def values_of(by_task: Mapping[str, Mapping[str, Any]], arm: str) -> list[float]:
    """Every accuracy of an arm, task by task and seed by seed."""
    return [value for row in by_task.values() for value in row[arm]]


def difference(
    a: str, b: str, by_task: Mapping[str, Mapping[str, Any]], also: Sequence[str] = ()
) -> tuple[Verdict, int, tuple[Figure, ...]]:
    """Arm a beside arm b: what came of it, over how many pairs, and the figures of a record.

    also: arms whose accuracies are told beside those of the two.
    """
    first, second = values_of(by_task, a), values_of(by_task, b)
    gain = paired_interval(first, second)
    figure = Figure(f"{a} minus {b}", gain.mean, gain.low, gain.high, "accuracy")
    told = task_figures(by_task, (a, b, *also))
    return verdict_of(gain), len(first), (figure, *told)


def finished(
    found: Sequence[tuple[str, Record]], scale: str, folder: Path, began: float
) -> list[tuple[str, Record]]:
    """Records with the time they took, since `began` and in runs before this one, and the names
    of their files at this scale.
    """
    seconds = spent(folder, time.perf_counter() - began)
    end = "-gpu" if scale == "gpu" else ""
    return [(f"{name}{end}", stamped(record, seconds)) for name, record in found]


def verdict_of(gain: Interval, margin: float = 0.0) -> Verdict:
    """The rule of every comparison: the 95 % interval of the paired difference against 0.

    margin: how far below 0 it may lie and the arm still count as on the other's level.
    """
    if gain.low > -margin:
        return "shown"
    return "not shown" if gain.high < -margin else "inconclusive"


def spent(folder: Path, seconds: float) -> float:
    """Seconds of this run and of those before it on the same folder."""
    path = folder / "seconds.json"
    before = weights.read_json(path)["seconds"] if path.is_file() else 0.0
    weights.write_json(path, {"seconds": before + seconds})
    return before + seconds
