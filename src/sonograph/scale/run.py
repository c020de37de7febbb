"""Every sound of a manifest through a work, exactly once, however often it is killed and begun."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sonograph.errors import InputError
from sonograph.progress import Progress, silent
from sonograph.scale.local import Tell, cores, run_here, run_local
from sonograph.scale.manifest import Item, Shard, checksum, cut, read_manifest
from sonograph.scale.merge import merge
from sonograph.scale.places import OF_ONE_PROCESS, Place
from sonograph.scale.work import Task, Work, finished

Engine = Literal["local", "ray"]

JOB = "job.json"
SHARD_SIZE = 100
LARGEST_MB = 2000


@dataclass(frozen=True)
class Mapped:
    """What a run over a manifest came to.

    items, failed: of the whole result. new: sounds that this run heard, in `seconds`. files: of the
    merged result, by name.
    """

    items: int
    failed: int
    new: int
    shards: int
    seconds: float
    output: str
    files: tuple[str, ...]

    @property
    def items_per_s(self) -> float:
        return self.new / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"items_per_s": self.items_per_s}


def map_shards(
    work: Work,
    manifest: str | Sequence[Item],
    output: str,
    engine: Engine = "local",
    jobs: int = 0,
    shard_size: int = SHARD_SIZE,
    largest_mb: int = LARGEST_MB,
    progress: Progress = silent,
) -> Mapped:
    """Do a work to every sound of a manifest, shard by shard, and merge what came out.

    output: a folder on any fsspec path: `results.jsonl` (a row a sound in the order of the
    manifest, with "error" where it could not be used), `vectors.npz` and `sounds/` where the work
    gives any; `shards/` and `marks/` are what a run goes on from. jobs: processes, 0 for as many as
    cores; each has cores / jobs threads. A run that was killed is begun again with the same
    arguments and skips what is marked.

    memory:// is seen by no other process: there the work is done in this one.

    Raises:
        InputError: the manifest or the work cannot be used, or the output holds something else.
    """
    if jobs < 0:
        raise InputError(f"{jobs} jobs: give 1 or more")
    items = read_manifest(manifest) if isinstance(manifest, str) else list(manifest)
    shards = cut(items, shard_size)
    place = Place(output)
    _claim(place, work, items, shard_size)
    place.tidy()  # after a driver that was killed; below, after workers that died
    marks = finished(place, shards)
    todo = [shard for shard in shards if shard.number not in marks]
    before = sum(len(shard.items) for shard in shards) - (new := _count(todo))
    many = min(jobs or cores(), max(1, len(todo)))
    task = Task(work, output, largest_mb * 1_000_000, max(1, cores() // many))
    began = time.monotonic()

    def tell(done: int) -> None:
        rate = done / max(1e-9, time.monotonic() - began)
        progress(before + done, len(items), f"{before + done:,} of {len(items):,}, {rate:.1f}/s")

    if todo:
        progress(before, len(items), f"{before:,} of {len(items):,}")
        try:
            _run(task, todo, engine, many, tell)
        except KeyboardInterrupt:
            words = f"stopped: the same command goes on with what is in {output}"
            raise KeyboardInterrupt(words) from None
        finally:
            place.tidy()
        marks = finished(place, shards)
    seconds = time.monotonic() - began
    if missing := [shard.name for shard in shards if shard.number not in marks]:
        raise InputError(f"{output}: shards {', '.join(missing[:3])} are not there: run again")
    return Mapped(
        items=len(items),
        failed=sum(mark["failed"] for mark in marks.values()),
        new=new,
        shards=len(shards),
        seconds=seconds,
        output=output,
        files=merge(place, shards, getattr(work, "model_name", "")),
    )


def _count(shards: Sequence[Shard]) -> int:
    return sum(len(shard.items) for shard in shards)


def _run(task: Task, shards: Sequence[Shard], engine: Engine, jobs: int, tell: Tell) -> None:
    own = _of_this_process(task, shards)
    if engine == "ray":
        if own:
            raise InputError(f"{own} is seen by no other process: use the local engine")
        from sonograph.scale.cluster import run_ray

        run_ray(task, shards, jobs, tell)
    elif own:
        run_here(task, shards, tell)
    else:
        run_local(task, shards, jobs, tell)


def _of_this_process(task: Task, shards: Sequence[Shard]) -> str:
    """The first path that only this process sees, if there is one."""
    from sonograph.scale.places import is_url

    if Place(task.output).protocol in OF_ONE_PROCESS:
        return task.output
    sounds = (item.sound for shard in shards for item in shard.items)
    starts = tuple(f"{protocol}://" for protocol in OF_ONE_PROCESS)
    return next((sound for sound in sounds if is_url(sound) and sound.startswith(starts)), "")


def _claim(place: Place, work: Work, items: Sequence[Item], shard_size: int) -> None:
    """Make an output ours, or see that it was begun with the same sounds and settings."""
    job = {
        "format": 1,
        "sounds": len(items),
        "manifest": checksum(items),
        "shard_size": shard_size,
        "settings": json.loads(json.dumps(work.settings())),
    }
    content = place.read(JOB)
    if content is None:
        place.write(JOB, (json.dumps(job, indent=2) + "\n").encode())
        return
    try:
        held = dict(json.loads(content))
    except (ValueError, TypeError):
        raise InputError(f"{place.at(JOB)} is broken: give another folder") from None
    if held != job:
        odd = ", ".join(_differences(held, job))
        raise InputError(
            f"{place.url} was begun with another {odd}: give another folder, or the same arguments"
        )


def _differences(held: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    for key in job:
        if key == "settings" and isinstance(held.get(key), dict):
            mine = job[key]
            yield from (k for k in {**held[key], **mine} if held[key].get(k) != mine.get(k))
        elif held.get(key) != job[key]:
            yield key.replace("_", " ")
