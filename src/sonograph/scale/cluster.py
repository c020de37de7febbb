"""The same shards in Ray Data: a pool of actors, each with its own model, on one machine or many.

With RAY_ADDRESS set, the cluster there is used; every machine of it needs sonograph, the model and
the places that are read and written. Otherwise a Ray of our own runs while the work lasts: on the
loopback only, without a dashboard or usage statistics, its files in a folder that is removed, its
token in the environment rather than in the home folder.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from sonograph.errors import InputError, missing_extra
from sonograph.scale.local import LOST, Tell, cores
from sonograph.scale.manifest import Shard
from sonograph.scale.work import Task, do_shard

STORE_BYTES = 256 << 20  # for objects on their way: here they are lines of a manifest

OWN = {  # of a Ray of our own
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listen on 127.0.0.1, not on every interface
    "RAY_worker_niceness": "0",  # else beside anything busy the workers get nothing
}


def run_ray(task: Task, shards: Sequence[Shard], jobs: int, tell: Tell) -> None:
    """Do all shards in `jobs` actors. Raises InputError where Ray or the work cannot begin."""
    # Ray tells of deaths by print, the last of them while it shuts down
    with contextlib.redirect_stdout(sys.stderr), _ray() as ray:
        import ray.data as data

        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        # what dies is tried again by Ray for ever; `_Tally` says when a sound has had enough
        tally = ray.remote(num_cpus=0)(_Tally).remote()
        rows = [{"shard": shard.number, "items": shard.to_json()} for shard in shards]
        sizes = {shard.number: len(shard.items) for shard in shards}
        actors, actor = min(jobs, len(shards)), cast(Any, _Actor)
        done = 0
        answers = data.from_items(rows, override_num_blocks=len(rows)).map(
            actor,
            fn_constructor_args=(task, tally),
            compute=data.ActorPoolStrategy(size=actors),
            num_cpus=task.threads
            if "RAY_ADDRESS" in os.environ
            else min(1, cores() / (actors + 1)),
        )
        for answer in answers.iter_rows():
            if answer["refused"]:
                raise InputError(answer["refused"])
            done += sizes[answer["shard"]]
            tell(done)


class _Actor:
    """A worker: the model is loaded once, shards come one after the other."""

    def __init__(self, task: Task, tally: Any):
        import torch

        torch.set_num_threads(task.threads)
        self.task, self.tally, self.refused = task, tally, ""
        try:
            self.answer = task.work.prepare()
        except InputError as error:
            self.refused = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import ray

        number = int(row["shard"])
        shard = Shard.from_json(number, str(row["items"]))
        try:
            if self.refused:
                raise InputError(self.refused)
            deaths = ray.get(self.tally.open.remote(number))
            if max(deaths.values(), default=0) > LOST:
                raise InputError(f"{LOST} workers ended with shard {number}, not by a sound")

            def began(item: int) -> None:  # waited for: whatever comes next may end this process
                ray.get(self.tally.began.remote(number, item))

            do_shard(self.answer, self.task, shard, deaths, began)
            ray.get(self.tally.close.remote(number))
        except InputError as error:
            return {"shard": number, "refused": str(error)}
        return {"shard": number, "refused": ""}


class _Tally:
    """Knows which sound of a shard was begun last; a shard that is opened twice lost a worker."""

    def __init__(self) -> None:
        self.begun: dict[int, int | None] = {}
        self.deaths: dict[int, Counter[int]] = {}

    def open(self, shard: int) -> dict[int, int]:
        deaths = self.deaths.setdefault(shard, Counter())
        if (item := self.begun.get(shard)) is not None:
            deaths[item] += 1
        self.begun[shard] = None
        return dict(deaths)

    def began(self, shard: int, item: int) -> None:
        self.begun[shard] = item

    def close(self, shard: int) -> None:
        self.begun[shard] = None


@functools.cache
def _token() -> str:
    """One for all runs of this process: Ray remembers the first that it was given."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _ray() -> Iterator[Any]:
    """The module, connected; what was started for us is ended and removed."""
    before = dict(os.environ)
    given = os.environ.get("RAY_ADDRESS")
    if not given:  # read when the module is imported
        os.environ.update(OWN)
        os.environ.setdefault("RAY_AUTH_TOKEN", _token())
    folder = None
    try:
        try:
            import ray
            import ray.data
        except ImportError:
            raise missing_extra("ray", "cluster") from None
        if ray.is_initialized():  # by the program that called us
            yield ray
            return
        if given:
            ray.init(address=given, log_to_driver=False, logging_level=logging.ERROR)
        else:
            # a socket's path may have 107 letters: not below TMPDIR, which can be long
            home = "/tmp" if Path("/tmp").is_dir() else None
            folder = tempfile.mkdtemp(prefix="sonograph-ray-", dir=home)
            ray.init(
                address="local",
                include_dashboard=False,
                num_cpus=cores(),
                object_store_memory=STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=folder,
            )
        try:
            yield ray
        finally:
            ray.shutdown()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for name in os.environ.keys() - before.keys():
            if name.startswith("RAY_"):
                del os.environ[name]
