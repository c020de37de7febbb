"""Which clips, and which part of each, make up batch number k: pure functions of (seed, k).

Nothing here has a state that must be saved: to go on after batch k, ask for batch k + 1. Draws come
from Philox, a counter-based generator (Salmon et al. 2011), keyed by the seed and counted by k.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sonograph.errors import InputError


@dataclasses.dataclass(frozen=True)
class Draw:
    """One row of a batch: the clip's index, and the part of it in seconds from the clip's start."""

    index: int
    start_s: float
    duration_s: float


class Sampler(Protocol):
    """Gives the rows of batch k."""

    def __call__(self, k: int) -> list[Draw]: ...


class ByClips:
    """Every clip once an epoch in shuffled order; longer clips are cropped at a random start.

    Batches follow each other across the ends of epochs, so that all have the same size.

    >>> draws = ByClips([1.0, 5.0], batch_size=2, crop_s=2.0, seed=0)(k=0)
    >>> sorted((draw.index, draw.duration_s) for draw in draws)
    [(0, 1.0), (1, 2.0)]
    """

    def __init__(
        self, durations_s: Sequence[float], batch_size: int, crop_s: float | None, seed: int = 0
    ):
        self.durations_s = _checked(durations_s, batch_size, crop_s)
        self.batch_size, self.crop_s, self.seed = batch_size, crop_s, seed

    def __call__(self, k: int) -> list[Draw]:
        count = len(self.durations_s)
        places = range(k * self.batch_size, (k + 1) * self.batch_size)
        rows = [_order(self.seed, place // count, count)[place % count] for place in places]
        return _crops(rows, self.durations_s, self.crop_s, random_of(self.seed, "crop", k))


class BySeconds:
    """Every second of sound is equally likely: a clip is drawn in proportion to its length.

    For pre-training on sets that mix long tracks with thousands of short clips. Drawn with
    replacement, batch by batch; there are no epochs.
    """

    def __init__(
        self, durations_s: Sequence[float], batch_size: int, crop_s: float | None, seed: int = 0
    ):
        self.durations_s = _checked(durations_s, batch_size, crop_s)
        self.batch_size, self.crop_s, self.seed = batch_size, crop_s, seed
        self.ends = np.cumsum(self.durations_s)

    def __call__(self, k: int) -> list[Draw]:
        random = random_of(self.seed, "clip", k)
        places = random.random(self.batch_size) * self.ends[-1]
        rows = np.searchsorted(self.ends, places, side="right").clip(max=len(self.ends) - 1)
        return _crops(rows.tolist(), self.durations_s, self.crop_s, random_of(self.seed, "crop", k))


class BySources:
    """Every source of sound in proportion to the square root of its seconds, within it by seconds.

    For pre-training on sets of very different sizes: between the extremes of drawing each second
    (the largest set drowns the others) and each set alike (the smallest is heard over and over).
    """

    def __init__(
        self,
        durations_s: Sequence[float],
        batch_size: int,
        crop_s: float | None,
        seed: int,
        sources: Sequence[str],
    ):
        self.durations_s = _checked(durations_s, batch_size, crop_s)
        self.batch_size, self.crop_s, self.seed = batch_size, crop_s, seed
        _, source = np.unique(np.asarray(sources), return_inverse=True)
        seconds = np.bincount(source, weights=self.durations_s)
        self.ends = np.cumsum(self.durations_s / np.sqrt(seconds)[source])

    def __call__(self, k: int) -> list[Draw]:
        random = random_of(self.seed, "clip", k)
        places = random.random(self.batch_size) * self.ends[-1]
        rows = np.searchsorted(self.ends, places, side="right").clip(max=len(self.ends) - 1)
        return _crops(rows.tolist(), self.durations_s, self.crop_s, random_of(self.seed, "crop", k))


class ByLength:
    """Whole clips, every clip once an epoch, clips of near lengths together.

    A batch holds at most `batch_s` seconds, padding counted, and at most `batch_size` clips. Within
    an epoch lengths are blurred by up to 10 % before sorting, so that neighbours change from epoch
    to epoch, and the batches are shuffled. A clip longer than `batch_s` makes a batch of its own.
    """

    def __init__(
        self, durations_s: Sequence[float], batch_size: int, batch_s: float, seed: int = 0
    ):
        self.durations_s = _checked(durations_s, batch_size, batch_s)
        self.batch_size, self.batch_s, self.seed = batch_size, batch_s, seed
        self.newest: tuple[int, list[list[int]]] = (-1, [])
        self.begins = [0]  # the first batch of every epoch that is known so far

    def __call__(self, k: int) -> list[Draw]:
        epoch = next((e for e, begin in enumerate(self.begins) if begin > k), len(self.begins)) - 1
        while k >= (end := self.begins[epoch] + len(self._epoch(epoch))):
            self.begins.append(end)
            epoch += 1
        rows = self._epoch(epoch)[k - self.begins[epoch]]
        return [Draw(row, 0.0, float(self.durations_s[row])) for row in rows]

    def _epoch(self, epoch: int) -> list[list[int]]:
        if self.newest[0] != epoch:
            self.newest = (epoch, self._batches(epoch))
        return self.newest[1]

    def _batches(self, epoch: int) -> list[list[int]]:
        random = random_of(self.seed, "lengths", epoch)
        blurred = self.durations_s * random.uniform(0.9, 1.1, len(self.durations_s))
        batches: list[list[int]] = [[]]
        longest = 0.0
        for row in np.argsort(blurred, kind="stable").tolist():
            longest = max(longest, float(self.durations_s[row]))
            size = len(batches[-1]) + 1
            if batches[-1] and (size > self.batch_size or size * longest > self.batch_s):
                batches.append([])
                longest = float(self.durations_s[row])
            batches[-1].append(row)
        return [batches[i] for i in random.permutation(len(batches)).tolist()]


class ByClasses:
    """Every class equally often: the classes in shuffled order, a clip of each, and again.

    The clips of a class follow each other in an order of their own, shuffled anew when all were
    drawn. A clip may be of several classes or, then it is never drawn, of none. Kong et al. 2020,
    section III.D.

    >>> draws = ByClasses([1.0, 1.0, 1.0], 4, None, seed=0, classes=[[0], [0], [1]])(k=0)
    >>> sorted(draw.index for draw in draws if draw.index == 2)
    [2, 2]
    """

    def __init__(
        self,
        durations_s: Sequence[float],
        batch_size: int,
        crop_s: float | None,
        seed: int,
        classes: Sequence[Sequence[int]],
    ):
        self.durations_s = _checked(durations_s, batch_size, crop_s)
        self.batch_size, self.crop_s, self.seed = batch_size, crop_s, seed
        found: dict[int, list[int]] = {}
        for row, mine in enumerate(classes):
            for name in mine:
                found.setdefault(name, []).append(row)
        if not found:
            raise InputError("no clip is of any class: there is nothing to balance")
        self.rows = [found[name] for name in sorted(found)]

    def __call__(self, k: int) -> list[Draw]:
        count = len(self.rows)
        drawn = []
        for place in range(k * self.batch_size, (k + 1) * self.batch_size):
            turn = place // count  # every class was drawn so often before
            which = _order(self.seed, turn, count)[place % count]
            mine = self.rows[which]
            order = _order_in_class(self.seed, which, turn // len(mine), len(mine))
            drawn.append(mine[order[turn % len(mine)]])
        return _crops(drawn, self.durations_s, self.crop_s, random_of(self.seed, "crop", k))


def _crops(
    rows: Sequence[int],
    durations_s: np.ndarray,
    crop_s: float | None,
    random: np.random.Generator,
) -> list[Draw]:
    where = random.random(len(rows)).tolist()
    draws = []
    for row, place in zip(rows, where):
        length = float(durations_s[row])
        taken = length if crop_s is None else min(crop_s, length)
        draws.append(Draw(row, place * (length - taken), taken))
    return draws


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    return random_of(seed, "order", epoch).permutation(count).tolist()


@functools.lru_cache(maxsize=4096)
def _order_in_class(seed: int, which: int, epoch: int, count: int) -> list[int]:
    return random_of(seed, "class", epoch * 2**20 + which).permutation(count).tolist()


PURPOSES = {"order": 0, "crop": 1, "clip": 2, "lengths": 3, "class": 4, "mixture": 5, "room": 6}


def random_of(seed: int, purpose: str, k: int) -> np.random.Generator:
    """The k-th generator of a seed; `purpose` keeps draws of different kinds apart."""
    counter = [0, 0, PURPOSES[purpose], k]  # Philox advances the first word
    return np.random.Generator(np.random.Philox(key=seed % 2**64, counter=counter))


def _checked(durations_s: Sequence[float], batch_size: int, seconds: float | None) -> np.ndarray:
    if len(durations_s) == 0:
        raise InputError("there are no clips to draw batches from")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}: it must be 1 or more")
    if seconds is not None and not seconds > 0:
        raise InputError(f"a length of {seconds} s must be above 0")
    return np.asarray(durations_s, dtype=np.float64)
