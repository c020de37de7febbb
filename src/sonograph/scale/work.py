"""What is done to every sound, and how one shard of it is done and written."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.scale.manifest import Item, Shard
from sonograph.scale.places import Place, fetched

SHARDS, MARKS, SOUNDS = "shards", "marks", "sounds"  # folders below the output
DEATHS = 2  # workers that a sound may end before it is left out


@dataclass(frozen=True)
class Given:
    """A sound to be worked on: a file, or the part of it that the manifest names.

    folder: what is written here becomes part of the result, under the same relative name.
    """

    item: Item
    sound: Path | Audio
    folder: Path


@dataclass(frozen=True)
class Done:
    """The answer for a sound: plain values, and a vector where the work gives one."""

    row: dict[str, Any]
    vector: np.ndarray | None = None


Answer = Callable[[Given], Done]


class Work(Protocol):
    """What is done to every sound; travels to other processes, so it holds plain values only."""

    def settings(self) -> dict[str, Any]:
        """What the results depend on: an output that was begun with others is refused."""
        ...

    def prepare(self) -> Answer:
        """Load what is needed, once a process. Raises InputError where nothing can be done."""
        ...


@dataclass(frozen=True)
class Task:
    """All that a worker has to know."""

    work: Work
    output: str
    largest_bytes: int
    threads: int


def do_shard(
    answer: Answer, task: Task, shard: Shard, deaths: Mapping[int, int], began: Callable[[int], Any]
) -> None:
    """Work on every sound of a shard, write what came out, and mark the shard last of all.

    deaths: how many workers each sound has ended; from `DEATHS` on it becomes a row with an error,
    as does one that cannot be read. began: called with the number of each sound before it is
    touched. Doing a shard twice writes the same twice.
    """
    since, place = time.perf_counter(), Place(task.output)
    rows: list[dict[str, Any]] = []
    vectors: list[np.ndarray] = []
    names: list[str] = []
    with place.room() as room:
        for item in shard.items:
            began(item.number)
            folder = room / str(item.number)
            folder.mkdir()
            done = _one(answer, task, item, folder, deaths.get(item.number, 0))
            if "error" not in done.row:
                for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                    place.put(file, f"{SOUNDS}/{file.relative_to(folder).as_posix()}")
            if done.vector is not None:
                names.append(item.part)
                vectors.append(done.vector)
            rows.append({"number": item.number, "sound": item.part, "name": item.name} | done.row)
    files = {f"{shard.name}.jsonl": lines(rows)}
    if vectors:
        content = io.BytesIO()
        np.savez(content, values=np.stack(vectors), names=np.array(names))
        files[f"{shard.name}.npz"] = content.getvalue()
    for name, content_of in files.items():
        place.write(f"{SHARDS}/{name}", content_of)
    mark = {
        "shard": shard.number,
        "items": len(rows),
        "failed": sum("error" in row for row in rows),
        "seconds": round(time.perf_counter() - since, 3),
        "files": {name: len(content_of) for name, content_of in files.items()},
    }
    place.write(f"{MARKS}/{shard.name}.json", json.dumps(mark).encode())


def _one(answer: Answer, task: Task, item: Item, folder: Path, died: int) -> Done:
    """The answer for a sound, or what went wrong with it."""
    if died >= DEATHS:
        return Done({"error": f"{item.sound} ended {died} workers, one after the other"})
    try:
        with fetched(item.sound, task.largest_bytes) as file:
            try:
                return answer(Given(item, _heard(item, file), folder))
            except InputError as error:  # of a copy, whose name says nothing
                raise InputError(str(error).replace(str(file), item.sound)) from None
    except InputError as error:
        words = str(error)
    except MemoryError:
        words = f"{item.sound} needs more memory than there is"
    except Exception as error:  # a fault of ours with one sound does not stop a million others
        words = f"{item.sound}: {type(error).__name__}: {error}"
    return Done({"error": " ".join(words.split())})


def _heard(item: Item, file: Path) -> Path | Audio:
    from sonograph.audio.io import read

    if not item.start_s and item.duration_s is None:
        return file
    return read(file, start_s=item.start_s, duration_s=item.duration_s)


def lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as JSONL."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def finished(place: Place, shards: Sequence[Shard]) -> dict[int, dict[str, Any]]:
    """The marks of the shards that are done and whose files are all there, by number."""
    marked, held = place.sizes(MARKS), place.sizes(SHARDS)
    found = {}
    for shard in shards:
        if f"{shard.name}.json" not in marked:
            continue
        content = place.read(f"{MARKS}/{shard.name}.json")
        try:
            mark = json.loads(content or b"")
            if all(held.get(name) == size for name, size in mark["files"].items()):
                found[shard.number] = mark
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # not one of ours: the shard is done again
    return found
