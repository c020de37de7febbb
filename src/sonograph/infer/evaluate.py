"""How well a model with labels does on labelled clips."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import one_hot

from sonograph.data.clips import Clips
from sonograph.errors import InputError, did_you_mean
from sonograph.metrics.intervals import Interval, proportion_interval
from sonograph.metrics.tagging import Confusion, Ranking
from sonograph.progress import Progress, silent
from sonograph.train.finetune import examples_of, frames_of, measure


@dataclass(frozen=True)
class ClassScore:
    """One class: its clips, the share of them found (recall), the share of answers that were right
    (precision), and the average precision of its scores. None where there is nothing to divide by.
    """

    name: str
    clips: int
    recall: float | None
    precision: float | None
    average_precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """confusion[i][j]: clips of class i taken for class j, classes in the order of `classes`."""

    task: str
    accuracy: Interval
    mean_average_precision: float | None
    classes: tuple[ClassScore, ...]
    confusion: list[list[int]]

    def confusions(self, count: int = 5) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: (true class, answer, clips)."""
        names = [score.name for score in self.classes]
        wrong = [
            (names[i], names[j], clips)
            for i, row in enumerate(self.confusion)
            for j, clips in enumerate(row)
            if i != j and clips
        ]
        return sorted(wrong, key=lambda one: -one[2])[:count]

    def to_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return {
            "task": self.task,
            "clips": self.accuracy.count,
            "accuracy": self.accuracy.mean,
            "accuracy_interval": [self.accuracy.low, self.accuracy.high],
            "map": self.mean_average_precision,
            "classes": [asdict(score) for score in self.classes],
            "confusion": self.confusion,
        }


def evaluate(model: Any, clips: Clips, task: str, progress: Progress = silent) -> Evaluation:
    """Accuracy, mean average precision, and both for each class, on the labelled clips of a task.

    Each clip is heard from its start for as long as the model's window. Raises InputError for a
    model without labels, and for a clip whose label the model does not know.
    """
    labelled = clips.labelled(task)
    strange = sorted(set(labelled.classes(task)) - set(model.labels))
    if strange:
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        hint = did_you_mean(strange[0], model.labels)
        raise InputError(
            f"the model has no label {strange[0]!r}{more}: it knows {_few(model.labels)}.{hint}"
        )
    encoder = model.encoder
    frames = frames_of(labelled, encoder)
    examples = examples_of(labelled, task, encoder.spec, frames, model.labels, progress)
    measured = measure(model, examples)
    confusion = Confusion(len(model.labels))
    ranking = Ranking()
    confusion.update(measured.scores, examples.targets)
    ranking.update(measured.scores, one_hot(examples.targets, len(model.labels)))
    ranks = ranking.compute()
    counts = confusion.compute()
    answers = counts.diagonal() / counts.sum(0)
    rows = zip(model.labels, counts.sum(1), confusion.recalls(), answers, ranks.average_precisions)
    return Evaluation(
        task,
        proportion_interval(int(counts.diagonal().sum()), len(examples)),
        _number(torch.tensor(ranks.mean_average_precision)),
        tuple(
            ClassScore(name, int(clips), _number(recall), _number(precision), _number(average))
            for name, clips, recall, precision, average in rows
        ),
        counts.tolist(),
    )


def _number(value: torch.Tensor) -> float | None:
    return None if math.isnan(float(value)) else float(value)


def _few(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
