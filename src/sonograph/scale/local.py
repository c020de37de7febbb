"""A pool of processes on this machine, each with its own model.

A worker that dies (killed, out of memory, a fault in a decoder) is replaced and its shard done
again. Workers say which sound they begin, so that the driver knows which one ended them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sonograph.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from sonograph.scale.manifest import Shard
    from sonograph.scale.work import Task

Tell = Callable[[int], Any]  # called with how many sounds are done

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOST = 3  # workers that may die before or between sounds


def cores() -> int:
    """How many cores this process may use."""
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known else os.cpu_count() or 1


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    shard: Shard | None = None
    item: int | None = None  # the sound it has begun
    begun: int = 0  # sounds of its shard
    ready: bool = False


@dataclass
class _Pool:
    task: Task
    jobs: int
    waiting: deque[Shard]
    workers: list[_Worker] = field(default_factory=list)
    deaths: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    done: int = 0  # sounds in shards that are finished


def run_local(task: Task, shards: Sequence[Shard], jobs: int, tell: Tell) -> None:
    """Do all shards in `jobs` processes. Raises InputError where none of them can work."""
    pool = _Pool(task, min(jobs, len(shards)), deque(shards))
    try:
        while pool.waiting or any(worker.shard for worker in pool.workers):
            _fill(pool)
            _listen(pool)
            begun = sum(max(0, worker.begun - 1) for worker in pool.workers if worker.shard)
            tell(pool.done + begun)
    finally:
        for worker in pool.workers:
            if worker.shard is not None:
                worker.process.kill()  # left alone it would finish its shard first
            worker.pipe.close()
        for worker in pool.workers:
            worker.process.join()


def run_here(task: Task, shards: Sequence[Shard], tell: Tell) -> None:
    """The same in this process, for what no other one can see (memory://)."""
    from sonograph.scale.work import do_shard

    answer, done = task.work.prepare(), 0
    for shard in shards:
        do_shard(answer, task, shard, {}, lambda number: None)
        done += len(shard.items)
        tell(done)


def _fill(pool: _Pool) -> None:
    """Start what is missing, and give every idle worker a shard."""
    busy = sum(worker.shard is not None for worker in pool.workers)
    wanted = min(pool.jobs, busy + len(pool.waiting))
    while len(pool.workers) < wanted:
        pool.workers.append(_start(pool.task))
    for worker in pool.workers:
        if worker.ready and worker.shard is None and pool.waiting:
            worker.shard, worker.begun, worker.item = pool.waiting.popleft(), 0, None
            deaths = {item.number: pool.deaths[item.number] for item in worker.shard.items}
            with contextlib.suppress(OSError):  # dead already: its end of the pipe says so
                worker.pipe.send((worker.shard, deaths))


def _start(task: Task) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(task, theirs), daemon=True)
    with _pinned(task.threads):
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextlib.contextmanager
def _pinned(threads: int) -> Iterator[None]:
    """Libraries of a process that starts now take so many threads each."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _listen(pool: _Pool) -> None:
    from multiprocessing.connection import wait

    pipes = {worker.pipe: worker for worker in pool.workers}
    for pipe in wait(list(pipes)):
        worker = pipes[pipe]  # type: ignore[index]
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            _bury(pool, worker)
            continue
        if kind == "refused":
            raise InputError(value)
        if kind == "ready":
            worker.ready, pool.lost = True, 0
        if kind == "began":
            worker.item, worker.begun = value, worker.begun + 1
        if kind == "finished" and worker.shard is not None:
            pool.done += len(worker.shard.items)
            worker.shard = worker.item = None


def _bury(pool: _Pool, worker: _Worker) -> None:
    """A worker is dead: its shard comes next again, and the sound it heard is remembered."""
    worker.process.join()
    worker.pipe.close()
    pool.workers.remove(worker)
    if worker.shard is not None:
        pool.waiting.appendleft(worker.shard)
    if worker.item is not None:
        pool.deaths[worker.item] += 1
    else:
        pool.lost += 1
    if pool.lost >= LOST or (worker.item is not None and pool.deaths[worker.item] > LOST):
        raise InputError(
            f"{LOST} workers ended one after the other, not because of a sound (exit code "
            f"{worker.process.exitcode}): fewer --jobs need less memory"
        )


def _work(task: Task, pipe: Connection) -> None:
    """What a worker process does until the driver closes its pipe, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends us
    from sonograph.scale.work import do_shard

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            answer = task.work.prepare()
            pipe.send(("ready", None))
            while True:
                shard, deaths = pipe.recv()
                do_shard(answer, task, shard, deaths, lambda number: pipe.send(("began", number)))
                pipe.send(("finished", shard.number))
        except InputError as error:
            pipe.send(("refused", str(error)))
