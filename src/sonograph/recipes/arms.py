"""One task learned in several ways, over the same folds: what claims and the demo compare.

Fairness (DESIGN.md, section 5): an arm that starts from scratch gets the updates of pre-training
too, as more of its own; one update of the joint objective counts as two, since it makes two passes.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.progress import Progress, silent
from sonograph.train.finetune import Examples, Finetune, Finetuned, examples_of, finetune


@dataclasses.dataclass(frozen=True)
class Question:
    """A task as it is asked: which labels of which corpora."""

    name: str
    task: str  # of the clips' labels
    corpora: tuple[str, ...]
    words: str
    fewest: int = 6  # clips a class must have: below that a fold has none to test
    most: int = 700  # clips in all; of more, those whose id hashes lowest


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
) -> Task:
    """Read a task; groups (recordings) never stand on both sides of a fold."""
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
    pairs = mine.folds(question.task, folds)
    return Task(
        question,
        examples,
        tuple(([row[c.id] for c in train], [row[c.id] for c in test]) for train, test in pairs),
        mine,
    )


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
        card = {"system": "ssast", "task": task.question.task, "arm": way.name, "seed": seed}
        encoder = copy.deepcopy(way.start(seed))
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
