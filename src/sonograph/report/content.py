"""What a report is made of: plain results, checked for fitting sizes, without any drawing.

Text may come from anywhere (labels are often file names): the page escapes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sonograph.errors import InputError


@dataclass(frozen=True, eq=False)
class Example:
    """One sound: what the model was shown, what was hidden, and what it painted into the gaps.

    samples: (n,) mono, full scale at 1.0, starting where the features start.
    features: (bins, frames), normalised log-mel values, lowest bin first.
    hidden: (rows, columns) of the patch grid, row 0 the lowest bins, True where the model could
    not see. reconstruction: (bins, frames) in the same scale as `features`; only its hidden
    patches are looked at. patch: (bins, frames) of one patch. bin_hz: the centre of every bin,
    for the frequency axis (`picture.bin_centres_hz`), or empty for none.
    """

    title: str
    labels: Mapping[str, str]  # task -> class
    samples: Float[np.ndarray, "n"]
    rate_hz: int
    features: Float[np.ndarray, "bins frames"]
    hidden: Bool[np.ndarray, "rows columns"]
    reconstruction: Float[np.ndarray, "bins frames"]
    patch: tuple[int, int]
    frame_rate_hz: float
    bin_hz: Sequence[float] = ()

    def __post_init__(self) -> None:
        where = f"example {self.title!r}"
        if np.ndim(self.samples) != 1 or self.rate_hz <= 0 or self.frame_rate_hz <= 0:
            raise InputError(f"{where}: give mono samples of shape (n,) and rates above 0")
        if np.ndim(self.features) != 2 or 0 in np.shape(self.features):
            raise InputError(
                f"{where}: features are {np.shape(self.features)}: give (bins, frames)"
            )
        if np.shape(self.reconstruction) != np.shape(self.features):
            raise InputError(
                f"{where}: the reconstruction has shape {np.shape(self.reconstruction)}, "
                f"the features {np.shape(self.features)}: make them equal"
            )
        covered = tuple(n * p for n, p in zip(np.shape(self.hidden), self.patch))
        fits = len(covered) == 2 and all(c <= n for c, n in zip(covered, np.shape(self.features)))
        if not fits:
            raise InputError(
                f"{where}: {np.shape(self.hidden)} patches of {self.patch} do not fit into "
                f"features of shape {np.shape(self.features)}"
            )
        if len(self.bin_hz) not in (0, np.shape(self.features)[0]):
            raise InputError(f"{where}: bin_hz has {len(self.bin_hz)} values, one a bin is needed")


@dataclass(frozen=True)
class Series:
    """One line of a chart. Values that are not finite are left out of the line.

    unit: what the number counts; series of one unit share a chart. "accuracy" is a share from
    0 to 1 and is shown in percent. chance: the accuracy that guessing would reach.
    """

    name: str
    values: Sequence[float]
    unit: str
    chance: float | None = None


@dataclass(frozen=True)
class Curves:
    """How numbers moved during one training: all series share the steps."""

    name: str
    what: str  # one sentence: what was trained, on what
    steps: Sequence[float]
    series: Sequence[Series]

    def __post_init__(self) -> None:
        for series in self.series:
            if len(series.values) != len(self.steps):
                raise InputError(
                    f"curves {self.name!r}: {series.name!r} has {len(series.values)} values for "
                    f"{len(self.steps)} steps"
                )


@dataclass(frozen=True)
class Arm:
    """One way of learning a task, measured on held-out clips.

    accuracies: one a seed, from 0 to 1. low, high: the interval drawn around the mean.
    seconds: time of one seed. The order of seeds is the same in every arm of a task.
    """

    name: str
    what: str
    accuracies: Sequence[float]
    mean: float
    low: float
    high: float
    trained_parameters: int
    total_parameters: int
    seconds: float


@dataclass(frozen=True, eq=False)
class TaskResult:
    """One labelled task, learned in several ways.

    compare: (pre-trained arm, arm from scratch), the pair that decides whether pre-training
    helped. It is named before the run; picking the best arm afterwards would flatter it.
    confusion: (classes, classes) counts, rows are the true class, of the arm `confusion_of`.
    """

    name: str
    question: str
    classes: Sequence[str]
    train_clips: int
    test_clips: int
    chance: float
    arms: Sequence[Arm]
    compare: tuple[str, str] | None = None
    confusion: Int[np.ndarray, "classes classes"] | None = None
    confusion_of: str = ""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        for name in [*(self.compare or ()), *([self.confusion_of] if self.confusion_of else [])]:
            if name not in names:
                raise InputError(f"task {self.name!r} has no arm {name!r}, only {', '.join(names)}")
        size = len(self.classes)
        if self.confusion is not None and np.shape(self.confusion) != (size, size):
            raise InputError(
                f"task {self.name!r}: the confusion counts have shape {np.shape(self.confusion)} "
                f"for {size} classes"
            )

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)


@dataclass(frozen=True, eq=False)
class MapClip:
    """A short sound that a point of the map plays: samples (n,), mono."""

    samples: Float[np.ndarray, "n"]
    rate_hz: int


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Every clip as a point in the plane, near to what the model hears as similar.

    points: (n, 2); labels and titles: one a point; clips: index of a point -> its sound.
    method: words after "Drawn by", for instance "t-SNE of the frozen model's vectors".
    """

    points: Float[np.ndarray, "n 2"]
    labels: Sequence[str]
    titles: Sequence[str]
    method: str
    what: str = ""  # one sentence: which clips these are
    clips: Mapping[int, MapClip] | None = None

    def __post_init__(self) -> None:
        count = len(self.points)
        if count and np.shape(self.points) != (count, 2):
            raise InputError(f"the map's points have shape {np.shape(self.points)}: give (n, 2)")
        if len(self.labels) != count or len(self.titles) != count:
            raise InputError(
                f"the map has {count} points, {len(self.labels)} labels and "
                f"{len(self.titles)} titles: give one a point"
            )


@dataclass(frozen=True)
class Costs:
    """Where the time went, and how much memory was held at most."""

    stages: Sequence[tuple[str, float]]  # name, seconds
    peak_memory_bytes: int
    machine: str
    threads: int


@dataclass(frozen=True)
class Licence:
    """Under which terms a part of the data came, and from where."""

    name: str
    licence: str
    what: str
    source: str


@dataclass(frozen=True)
class Command:
    """Something to try next: what it does, and the line to type."""

    what: str
    line: str


@dataclass(frozen=True)
class Report:
    """Everything one page shows; a part that is empty leaves its section out.

    The page keeps itself small: it shows the first 10 examples, 3 s of each, and 2000 points.

    facts: (value, what it counts) pairs for the strip under the headline, for instance
    ("1.4 h", "of unlabelled sound"). limits: sentences about what the numbers cannot tell.
    """

    title: str
    about: str  # a sentence or two: what was done with what
    made: str  # date and time, version
    facts: Sequence[tuple[str, str]] = ()
    examples: Sequence[Example] = ()
    tasks: Sequence[TaskResult] = ()
    embedding_map: EmbeddingMap | None = None
    pretraining: Curves | None = None
    adaptation: Sequence[Curves] = ()
    costs: Costs | None = None
    next_steps: Sequence[Command] = ()
    licences: Sequence[Licence] = ()
    limits: Sequence[str] = ()
