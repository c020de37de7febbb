"""Progress as a plain callback, so that the command line, a page and a program can all listen."""

from __future__ import annotations

import sys
import time
from typing import Protocol


class Progress(Protocol):
    """Called with how much is done, of how much (None: unknown), and what happens."""

    def __call__(self, done: float, total: float | None, note: str = "") -> None: ...


def silent(done: float, total: float | None, note: str = "") -> None:
    """The progress of someone who did not ask."""


def part_of(progress: Progress, number: int, count: int, name: str) -> Progress:
    """The progress of one thing among `count`, as part of all of them; it is told by its name."""

    def tell(done: float, total: float | None, note: str = "") -> None:
        progress(number + (min(1.0, done / total) if total else 0.0), count, name)

    return tell


class Line:
    """One live line on stderr with the time left; a plain line every ten seconds in a log."""

    def __init__(self, title: str):
        self.title = title
        self.began = time.monotonic()
        self.last = 0.0
        self.first: float | None = None  # what was done before, where a run goes on
        self.live = sys.stderr.isatty()

    def __call__(self, done: float, total: float | None, note: str = "") -> None:
        now = time.monotonic()
        finished = total is not None and done >= total
        if self.first is None:
            self.first = 0.0 if finished else done
        if not finished and now - self.last < (0.1 if self.live else 10):
            return
        self.last = now
        spent = now - self.began
        parts = [self.title]
        if total:
            parts.append(f"{100 * done / total:3.0f} %")
        if note:
            parts.append(note)
        if total and self.first < done < total:
            parts.append(f"{clock(spent * (total - done) / (done - self.first))} left")
        elif finished:
            parts.append(f"took {clock(spent)}")
        text = " · ".join(parts)
        if self.live:
            print(f"\r\x1b[K{text}", end="\n" if finished else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds as a person reads them.

    >>> clock(75), clock(3.14), clock(7300)
    ('1 min 15 s', '3.1 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
