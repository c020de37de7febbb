"""Batches of waveforms that can start at any number and come out the same with any workers.

    batches = Batches(clips, batch_size=16, crop_s=10.0, rate_hz=16_000, workers=1)
    for batch in batches.start_at(1_200): ...

A batch is a dict: "waveform" float32 (clips, samples), zeros after each clip's end; "lengths" int64
(clips,), valid samples; "ids" and "labels", lists; with a `task`, "targets" int64 (clips,) too.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader

from sonograph.data.clips import Clip, Clips
from sonograph.data.sampler import ByClips, ByLength, BySeconds, BySources, Draw, Sampler
from sonograph.errors import InputError, did_you_mean

AHEAD = 4  # batches that each worker keeps ready
Batch = dict[str, Any]


class Batches:
    """An endless stream of batches; batch k depends on the clips, the seed and k alone.

    Args:
        draw: "clips" gives every clip once an epoch, "seconds" draws in proportion to length,
            "sources" likewise, but large sources are held back (see `BySources`), "lengths" puts
            whole clips of near lengths together (`crop_s` is then the most seconds of one batch,
            padding counted).
        crop_s: longer clips are cropped to it at a random start, and every batch is padded to it;
            None takes whole clips and pads to the longest of the batch.
        workers: processes that read ahead; 0 reads when asked.
        task: a task of the clips' labels; "targets" are then indices into `classes`.
    """

    def __init__(
        self,
        clips: Clips,
        batch_size: int,
        crop_s: float | None,
        rate_hz: int,
        seed: int = 0,
        workers: int = 0,
        draw: Literal["clips", "seconds", "sources", "lengths"] = "clips",
        task: str | None = None,
        classes: Sequence[str] | None = None,
    ):
        if rate_hz < 1 or workers < 0:
            raise InputError(f"rate_hz {rate_hz} and workers {workers} cannot be used for batches")
        self.clips = clips if task is None else clips.labelled(task)
        self.task, self.classes = task, _classes(self.clips, task, classes)
        self.rate_hz, self.workers = rate_hz, workers
        self.pad_s = None if draw == "lengths" else crop_s
        self.sampler = _sampler(draw, self.clips, batch_size, crop_s, seed)
        self.first = 0
        self.share = (0, 1)  # which of so many parts of every batch is read
        self.waited_s = 0.0  # how long callers have waited for batches so far

    def start_at(self, k: int) -> Batches:
        """Let the next iteration begin with batch k; returns itself."""
        if k < 0:
            raise InputError(f"there is no batch {k}")
        self.first = k
        return self

    def part(self, number: int, count: int) -> Batches:
        """The same stream, but of every batch only part `number` of `count` nearly equal ones.

        What one of many processes reads: no clip is decoded twice. Padding is that of the whole
        batch.
        """
        mine = copy.copy(self)
        mine.share = (number, count)
        return mine

    def batch(self, k: int) -> Batch:
        """Batch k, read here and now."""
        draws, (number, count) = self.sampler(k), self.share
        if len(draws) < count:
            raise InputError(
                f"a batch of {len(draws)} clips for {count} processes: use a larger batch size"
            )
        pad_s = self.pad_s
        if pad_s is None and count > 1:
            pad_s = max(draw.duration_s for draw in draws)
        rows = draws[len(draws) * number // count : len(draws) * (number + 1) // count]
        return make_batch(self.clips, rows, self.rate_hz, pad_s, self.task, self.classes)

    def __iter__(self) -> Iterator[Batch]:
        source = _loaded(self.batch, itertools.count(self.first), self.workers)
        while True:
            began = time.perf_counter()
            batch = next(source)
            self.waited_s += time.perf_counter() - began
            yield batch


class Pass:
    """Every clip once, in order, from its start: for evaluation. Re-iterable, with a length.

    Clips longer than `crop_s` are cut there; batches are padded to their longest clip.
    """

    def __init__(
        self,
        clips: Clips,
        batch_size: int,
        crop_s: float | None,
        rate_hz: int,
        workers: int = 0,
        task: str | None = None,
        classes: Sequence[str] | None = None,
    ):
        self.clips = clips if task is None else clips.labelled(task)
        self.task, self.classes = task, _classes(self.clips, task, classes)
        self.batch_size, self.crop_s = batch_size, crop_s
        self.rate_hz, self.workers = rate_hz, workers

    def __len__(self) -> int:
        return -(-len(self.clips) // self.batch_size)

    def batch(self, k: int) -> Batch:
        """Batch k of the pass."""
        rows = range(k * self.batch_size, min((k + 1) * self.batch_size, len(self.clips)))
        limit = float("inf") if self.crop_s is None else self.crop_s
        draws = [Draw(row, 0.0, min(self.clips[row].duration_s, limit)) for row in rows]
        return make_batch(self.clips, draws, self.rate_hz, None, self.task, self.classes)

    def __iter__(self) -> Iterator[Batch]:
        return _loaded(self.batch, range(len(self)), self.workers)


def make_batch(
    clips: Clips,
    draws: Sequence[Draw],
    rate_hz: int,
    pad_s: float | None,
    task: str | None = None,
    classes: Sequence[str] = (),
) -> Batch:
    """Read the drawn parts and stack them, padded to `pad_s` seconds or to the longest."""
    rows = [clips[draw.index] for draw in draws]
    waves = [read_part(clip, draw, rate_hz) for clip, draw in zip(rows, draws)]
    samples = max(map(len, waves)) if pad_s is None else round(pad_s * rate_hz)
    waveform = torch.zeros(len(waves), samples)
    for row, wave in zip(waveform, waves):
        row[: len(wave)] = torch.from_numpy(wave[:samples])
    batch: Batch = {
        "waveform": waveform,
        "lengths": torch.tensor([min(len(wave), samples) for wave in waves]),
        "ids": [clip.id for clip in rows],
        "labels": [clip.labels for clip in rows],
    }
    if task is not None:
        index = {name: number for number, name in enumerate(classes)}
        batch["targets"] = torch.tensor([index[clip.labels[task]] for clip in rows])
    return batch


def read_part(clip: Clip, draw: Draw, rate_hz: int) -> np.ndarray:
    """The drawn part of a clip as mono float32 at `rate_hz`; at least one sample."""
    from sonograph.audio.io import read

    audio = read(
        clip.path,
        rate_hz=rate_hz,
        start_s=clip.start_s + draw.start_s,
        duration_s=max(draw.duration_s, 1 / clip.rate_hz),
        channels="mono",
    )
    return np.ascontiguousarray(audio.samples[0], dtype=np.float32)


def _sampler(draw: str, clips: Clips, batch_size: int, crop_s: float | None, seed: int) -> Sampler:
    durations = [clip.duration_s for clip in clips]
    if draw == "clips":
        return ByClips(durations, batch_size, crop_s, seed)
    if draw == "seconds":
        return BySeconds(durations, batch_size, crop_s, seed)
    if draw == "sources":
        sources = [clip.source for clip in clips]
        return BySources(durations, batch_size, crop_s, seed, sources)
    if draw == "lengths":
        if crop_s is None:
            raise InputError('draw="lengths" needs crop_s: the most seconds of one batch')
        return ByLength(durations, batch_size, crop_s, seed)
    known = ["clips", "seconds", "sources", "lengths"]
    raise InputError(f"draw is one of {', '.join(known)}, not {draw!r}.{did_you_mean(draw, known)}")


def _classes(clips: Clips, task: str | None, classes: Sequence[str] | None) -> list[str]:
    if task is None:
        return []
    found = clips.classes(task)
    known = list(classes) if classes is not None else found
    strange = sorted(set(found) - set(known))
    if strange:
        raise InputError(
            f"task {task!r} has clips of class {strange[0]!r}, which is none of the "
            f"{len(known)} classes given: it was not seen in training"
        )
    return known


class _Made(torch.utils.data.Dataset):
    """Batch numbers in, batches out: what the worker processes hold."""

    def __init__(self, make: Any):
        self.make = make

    def __getitem__(self, k: int) -> Any:
        # an InputError must cross the process border as one line, not as a traceback of a worker
        try:
            return self.make(k)
        except InputError as error:
            return error


def _loaded(make: Any, numbers: Any, workers: int) -> Iterator[Batch]:
    if workers == 0:
        for k in numbers:
            yield make(k)
        return
    loader = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch


def _as_it_is(batch: Any) -> Any:
    return batch
