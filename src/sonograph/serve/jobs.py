"""Jobs: a bounded queue, a few threads that work it off, progress, cancelling, and forgetting.

Threads are enough: what takes time is torch and the codecs, which let go of the interpreter.
"""

from __future__ import annotations

import math
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonograph.serve.action import Cancelled
from sonograph.serve.answers import Refused, busy
from sonograph.serve.settings import MOST_ENDED
from sonograph.serve.shapes import JobInfo, ProgressInfo, ResultInfo, State

ENDED = ("done", "failed", "cancelled")


@dataclass(eq=False)
class Job:
    """A job. work: does it in a folder of its own and answers its result."""

    action: str
    work: Callable[[Job], ResultInfo]
    sounds: tuple[str, ...] = ()  # ids
    text: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "queued"
    created: float = field(default_factory=time.time)
    began: float | None = None
    ended: float | None = None
    done: float = 0.0
    total: float | None = None
    note: str = ""
    error: str | None = None
    result: ResultInfo | None = None
    files: tuple[Any, ...] = ()
    bytes: int = 0  # of its folder, once it is done
    changes: int = 0
    wanted: bool = True
    at_work: bool = False  # a thread is in it, even where it is cancelled already
    release: Callable[[], None] = lambda: None  # gives back what it borrowed
    undo: Callable[[], None] = lambda: None  # takes back what it made
    _first: tuple[float, float] | None = None  # when progress was first told, and how much

    def progress(self, done: float, total: float | None, note: str = "") -> None:
        """What the work calls. Raises Cancelled where nobody waits for it any more."""
        if not self.wanted:
            raise Cancelled
        if not math.isfinite(done) or (total is not None and not math.isfinite(total)):
            done, total = 0.0, None
        if self._first is None:
            self._first = time.monotonic(), float(done)
        self.done, self.total, self.note = float(done), total and float(total), note
        self.changes += 1

    def seconds_left(self) -> float | None:
        if self.state != "running" or self._first is None or not self.total:
            return None
        since, first = self._first
        if not first < self.done:
            return None
        spent = time.monotonic() - since
        return max(0.0, spent * (self.total - self.done) / (self.done - first))


class Jobs:
    """Runs jobs, `workers` at a time; at most `most` wait. Ended ones are kept for `keep_s`, and
    no more of them than MOST_ENDED.

    forgotten: called before the folder of a job goes.
    """

    def __init__(
        self,
        folder: Path,
        workers: int,
        most: int,
        keep_s: float,
        forgotten: Callable[[Job], None],
    ):
        self.folder, self.most, self.keep_s, self.forgotten = folder, most, keep_s, forgotten
        self._all: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"job-{n}", daemon=True)
            for n in range(workers)
        ]
        self.took: list[float] = []  # seconds of the last jobs
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Job:
        """Put a job into the queue. Raises Refused (503) where it is full."""
        with self._lock:
            waiting = sum(one.state == "queued" for one in self._all.values())
            if waiting >= self.most:
                raise busy(
                    f"{waiting} jobs wait already: try again later", 1 + sum(self.took[-8:]) / 8
                )
            self._all[job.id] = job
            ended = [one for one in self._all.values() if one.ended is not None]
            old = sorted(ended, key=lambda one: one.ended or 0.0)[: max(0, len(ended) - MOST_ENDED)]
            for one in old:
                del self._all[one.id]
        self._queue.put(job)
        self._forget_all(old)
        return job

    def get(self, name: str) -> Job:
        """Raises Refused (404)."""
        with self._lock:
            found = self._all.get(name)
        if found is None:
            raise Refused(404, "there is no such job: it was forgotten, or kept long enough")
        return found

    def all(self) -> list[Job]:
        with self._lock:
            return list(self._all.values())

    def info(self, job: Job) -> JobInfo:
        with self._lock:
            place = None
            if job.state == "queued":
                place = 1 + sum(
                    one.state == "queued" and one.created < job.created
                    for one in self._all.values()
                )
            return JobInfo(
                id=job.id,
                action=job.action,
                sounds=list(job.sounds),
                text=job.text,
                state=job.state,
                place=place,
                created=job.created,
                began=job.began,
                ended=job.ended,
                progress=ProgressInfo(
                    done=job.done,
                    total=job.total,
                    note=job.note,
                    seconds_left=job.seconds_left(),
                ),
                error=job.error,
                result=job.result,
            )

    def counts(self) -> dict[State, int]:
        found: dict[State, int] = {
            "queued": 0, "running": 0, "done": 0, "failed": 0, "cancelled": 0
        }  # fmt: skip
        for job in self.all():
            found[job.state] += 1
        return found

    def drop(self, name: str) -> None:
        """Cancel a job that waits or runs; forget one that has ended. Raises Refused (404)."""
        job = self.get(name)
        with self._lock:
            if job.state not in ENDED:
                self._cancel(job)
                return
            if self._all.pop(name, None) is None:
                return  # someone else was quicker
        self._forget_all([job])

    def sweep(self) -> None:
        """Forget what ended long ago."""
        due = time.time() - self.keep_s
        with self._lock:
            old = [j for j in self._all.values() if j.ended is not None and j.ended < due]
            for job in old:
                del self._all[job.id]
        self._forget_all(old)

    def stop(self, patience_s: float) -> bool:
        """Cancel everything and wait for the threads; whether all of them ended in time."""
        with self._lock:
            for job in self._all.values():
                if job.state not in ENDED:
                    self._cancel(job)
        for _ in self._threads:
            self._queue.put(None)
        until = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def folder_of(self, job: Job) -> Path:
        return self.folder / job.id

    # --- in the threads ---

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                if not job.wanted:
                    continue
                job.state, job.began, job.at_work = "running", time.time(), True
                job.changes += 1
            self._run(job)

    def _run(self, job: Job) -> None:
        from sonograph.errors import InputError

        folder, began = self.folder_of(job), time.monotonic()
        result, error = None, None
        try:
            folder.mkdir()
            result = job.work(job)
        except Cancelled:
            with self._lock:
                if job.wanted:  # nobody cancelled it: the service stops
                    self._cancel(job)
        except Refused as problem:
            error = str(problem.detail)
        except InputError as problem:
            error = str(problem)
        except MemoryError:
            error = "out of memory: use shorter sounds or a smaller model"
        except Exception as problem:
            error = f"the service failed on this ({type(problem).__name__}): see its log"
            _log(job, problem)
        with self._lock:
            self.took = [*self.took[-7:], time.monotonic() - began]
            kept = job.wanted and result is not None
            if job.wanted:
                job.state = "done" if kept else "failed"
                job.result, job.error, job.ended = result, error, time.time()
                job.wanted = False
            job.changes += 1
            job.at_work = not kept
        job.release()
        if not kept:
            self._forget(job)
            job.at_work = False

    def _cancel(self, job: Job) -> None:
        """With the lock held. What runs notices at its next progress."""
        waited = job.state == "queued"
        job.wanted, job.state, job.ended = False, "cancelled", time.time()
        job.changes += 1
        if waited:
            job.release()

    def _forget_all(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            with self._lock:
                alone = not job.at_work
            if alone:  # else the thread in it does so as it leaves
                self._forget(job)

    def _forget(self, job: Job) -> None:
        if job.state != "done":
            job.undo()
        self.forgotten(job)
        shutil.rmtree(self.folder_of(job), ignore_errors=True)


def _log(job: Job, problem: Exception) -> None:
    import logging

    logging.getLogger("sonograph.serve").error("job %s (%s)", job.id, job.action, exc_info=problem)


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """The newest first."""
    return sorted(jobs, key=lambda job: -job.created)
