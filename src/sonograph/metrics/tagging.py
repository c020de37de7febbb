"""Scores of classifiers and taggers, gathered batch by batch.

Every class has `update(...)` for a batch, `compute()` for the score of all batches so far, and
`merge(other)` to take in what another process gathered.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sonograph.errors import InputError


class Accuracy:
    """Share of clips whose best class is the right one."""

    def __init__(self) -> None:
        self.right, self.count = 0, 0

    def update(self, scores: Float[Tensor, "b classes"], target: Int[Tensor, " b"]) -> None:
        self.right += int((scores.argmax(dim=1) == target).sum())
        self.count += len(target)

    def merge(self, other: Accuracy) -> None:
        self.right, self.count = self.right + other.right, self.count + other.count

    def compute(self) -> float:
        return self.right / self.count if self.count else math.nan


class Confusion:
    """How often a clip of class i (row) was taken for class j (column)."""

    def __init__(self, classes: int):
        self.counts = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, scores: Float[Tensor, "b classes"], target: Int[Tensor, " b"]) -> None:
        classes = len(self.counts)
        if len(target) and not 0 <= int(target.min()) <= int(target.max()) < classes:
            raise InputError(f"a target lies outside of the {classes} classes")
        cells = target.cpu() * classes + scores.argmax(dim=1).cpu()
        self.counts += torch.bincount(cells, minlength=classes**2).reshape(classes, classes)

    def merge(self, other: Confusion) -> None:
        self.counts += other.counts

    def compute(self) -> Int[Tensor, "classes classes"]:
        return self.counts.clone()

    def recalls(self) -> Float[Tensor, " classes"]:
        """Share of each class's clips that were found; NaN for a class without clips."""
        return self.counts.diagonal().double() / self.counts.sum(dim=1)

    def f1(self) -> Float[Tensor, " classes"]:
        """Harmonic mean of precision and recall of each class; NaN where a class never occurs."""
        return 2 * self.counts.diagonal().double() / (self.counts.sum(0) + self.counts.sum(1))

    def macro_f1(self) -> float:
        """Mean of `f1` over the classes that occur as target or as answer."""
        return float(self.f1().nanmean())


@dataclasses.dataclass(frozen=True)
class RankingScores:
    """Scores of a tagger: means over classes, and the values behind them (NaN: not defined)."""

    mean_average_precision: float
    auc: float
    d_prime: float
    average_precisions: Float[Tensor, " classes"]
    aucs: Float[Tensor, " classes"]
    skipped: int  # classes left out of the means: without positive or without negative clips


class Ranking:
    """How well the scores of each class rank its clips before the others; many labels a clip.

    Mean average precision, area under the ROC curve, and d' = sqrt(2) z(AUC) of the mean AUC
    (Hershey et al. 2017, as AudioSet is reported). Equal scores count as one threshold.
    """

    def __init__(self) -> None:
        self.scores: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, scores: Float[Tensor, "b classes"], target: Tensor) -> None:
        """target: (b, classes), 1 or True where a clip has the label."""
        if scores.shape != target.shape:
            shapes = f"{tuple(scores.shape)} and {tuple(target.shape)}"
            raise InputError(f"scores and targets differ in shape: {shapes}")
        self.scores.append(scores.detach().double().cpu())
        self.targets.append(target.detach().bool().cpu())

    def merge(self, other: Ranking) -> None:
        self.scores += other.scores
        self.targets += other.targets

    def compute(self) -> RankingScores:
        if not self.scores:
            raise InputError("no scores to rank: call update first")
        scores, targets = torch.cat(self.scores), torch.cat(self.targets)
        columns = list(zip(scores.unbind(1), targets.unbind(1)))
        precisions = torch.tensor(
            [average_precision(s, t) for s, t in columns], dtype=torch.float64
        )
        aucs = torch.tensor([area_under_roc(s, t) for s, t in columns], dtype=torch.float64)
        kept = ~(precisions.isnan() | aucs.isnan())
        auc = float(aucs[kept].mean())
        return RankingScores(
            mean_average_precision=float(precisions[kept].mean()),
            auc=auc,
            d_prime=d_prime(auc),
            average_precisions=precisions,
            aucs=aucs,
            skipped=int((~kept).sum()),
        )


def average_precision(scores: Float[Tensor, " n"], target: Bool[Tensor, " n"]) -> float:
    """Sum over thresholds of precision times the recall gained; NaN without positives."""
    found, taken = _curve(scores, target)
    if found[-1] == 0:
        return math.nan
    gained = torch.diff(found, prepend=found.new_zeros(1))
    return float((found / taken * gained).sum() / found[-1])


def area_under_roc(scores: Float[Tensor, " n"], target: Bool[Tensor, " n"]) -> float:
    """Chance that a positive outranks a negative, ties half; NaN where either is missing."""
    found, taken = _curve(scores, target)
    wrong = taken - found
    if found[-1] == 0 or wrong[-1] == 0:
        return math.nan
    zero = found.new_zeros(1)
    return float(torch.trapezoid(torch.cat([zero, found]), torch.cat([zero, wrong]))) / float(
        found[-1] * wrong[-1]
    )


def d_prime(auc: float) -> float:
    """Distance of two unit normal distributions with this area under the ROC curve."""
    return math.sqrt(2) * float(torch.special.ndtri(torch.tensor(auc, dtype=torch.float64)))


def _curve(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(true positives, clips taken) at every different threshold, from the highest down."""
    values, order = scores.double().sort(descending=True)
    found = target[order].double().cumsum(0)
    last = torch.cat([values[1:] != values[:-1], torch.ones(1, dtype=torch.bool)])
    taken = torch.arange(1, len(values) + 1, dtype=torch.float64)
    return found[last], taken[last]
