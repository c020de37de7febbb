"""Which sounds there are: a JSONL, a CSV, or a folder, cut into shards that are always the same.

A row names a sound by `path` (or one of the other names in `PATHS`), relative to the manifest,
absolute, or an fsspec URL; `start_s` and `duration_s` choose a part of it, `id` what results are
called. A line of JSONL may also be a path alone, or a lhotse cut as `Clips.save` writes. Everything
else in a row is kept.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonograph.errors import InputError, did_you_mean
from sonograph.scale.places import is_url, open_system

PATHS = ("path", "file", "filename", "audio", "audio_filepath", "sound", "url")
STARTS, DURATIONS = ("start_s", "start", "offset"), ("duration_s", "duration")


@dataclass(frozen=True, slots=True)
class Item:
    """A sound of a manifest.

    sound: an absolute path or a URL. name: unique in the manifest and fit to be a file's, without
    suffix. row: what the manifest says.
    """

    number: int
    sound: str
    name: str
    start_s: float = 0.0
    duration_s: float | None = None
    row: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def part(self) -> str:
        """The sound, and which part of it as a media fragment: "a.wav#t=1.5,2"."""
        if not self.start_s and self.duration_s is None:
            return self.sound
        end = "" if self.duration_s is None else f",{self.start_s + self.duration_s:.10g}"
        return f"{self.sound}#t={self.start_s:.10g}{end}"


@dataclass(frozen=True)
class Shard:
    """Some sounds that follow each other in the manifest: what is done, marked and done again."""

    number: int
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        return shard_name(self.number)

    def to_json(self) -> str:
        return json.dumps([dataclasses.asdict(item) for item in self.items])

    @classmethod
    def from_json(cls, number: int, text: str) -> Shard:
        return cls(number, tuple(Item(**item) for item in json.loads(text)))


def shard_name(number: int) -> str:
    return f"{number:06d}"


def cut(items: Sequence[Item], size: int) -> list[Shard]:
    """Shards of `size` sounds in the order of the manifest; the last may be smaller."""
    if size < 1:
        raise InputError(f"a shard of {size} sounds: give --shard-size of 1 or more")
    starts = range(0, len(items), size)
    return [Shard(k, tuple(items[start : start + size])) for k, start in enumerate(starts)]


def checksum(items: Sequence[Item]) -> str:
    """SHA-256 of which sounds there are, in which order, under which names."""
    told = hashlib.sha256()
    for item in items:
        told.update(json.dumps([item.sound, item.name, item.start_s, item.duration_s]).encode())
    return told.hexdigest()


def read_manifest(where: str) -> list[Item]:
    """Every sound of a manifest in its order; of a folder all sounds below it, by name.

    Raises InputError that names the line for anything that is not a manifest.
    """
    system, path = open_system(where)
    try:
        if system.isdir(path):
            return _of_folder(system, path, where)
        content = system.cat_file(path)
    except FileNotFoundError:
        raise InputError(f"{where} does not exist: give a .jsonl, a .csv or a folder") from None
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror or error})") from None
    suffix = posixpath.splitext(path)[1].lower()
    if suffix not in (".jsonl", ".csv"):
        raise InputError(f"{where} is no manifest: give a .jsonl, a .csv or a folder")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{where} is no UTF-8 text: save it as UTF-8") from None
    rows = list(_lines(text, where) if suffix == ".jsonl" else _records(text, where))
    if not rows:
        raise InputError(f"{where} names no sounds")
    folder = posixpath.dirname(where) if is_url(where) else str(Path(path).parent)
    if is_url(where) and where.endswith(f"://{posixpath.basename(path)}"):
        folder = where.removesuffix(posixpath.basename(path))
    found = [_item(number, row, folder, place) for number, (place, row) in enumerate(rows)]
    return _named(found)


def _of_folder(system: Any, path: str, where: str) -> list[Item]:
    from sonograph.audio.io import AUDIO_SUFFIXES

    inside = sorted(
        one
        for one in system.find(path)
        if posixpath.splitext(one)[1].lower() in AUDIO_SUFFIXES
        and not any(part.startswith(".") for part in posixpath.relpath(one, path).split("/"))
    )
    if not inside:
        raise InputError(f"{where} holds no sound files ({' '.join(AUDIO_SUFFIXES)})")
    items = []
    for number, one in enumerate(inside):
        below = posixpath.relpath(one, path)
        sound = system.unstrip_protocol(one) if is_url(where) else one
        items.append(Item(number, sound, posixpath.splitext(below)[0], row={"path": below}))
    return _named(items)


def _lines(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{where}, line {number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            raise InputError(f'{place} is no JSON: write {{"path": "a.wav"}}') from None
        if isinstance(row, str):
            row = {"path": row}
        if not isinstance(row, dict):
            raise InputError(f'{place} is no object: write {{"path": "a.wav"}}')
        yield place, row


def _records(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        known = rows.fieldnames or []
        if not any(name in PATHS for name in known):
            hint = next((h for name in known if (h := did_you_mean(name, PATHS))), "")
            raise InputError(f"{where} has no column 'path' but {', '.join(known)}.{hint}")
        for row in rows:
            place = f"{where}, line {rows.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{place} has not as many values as there are columns")
            yield place, dict(row)
    except csv.Error as error:
        raise InputError(f"{where}, line {rows.line_num} is no CSV ({error})") from None


def _item(number: int, row: dict[str, Any], folder: str, place: str) -> Item:
    told = _of_cut(row, place) if isinstance(row.get("recording"), dict) else row
    path = next((told[name] for name in PATHS if told.get(name)), None)
    if not isinstance(path, str):
        hint = next((h for name in told if (h := did_you_mean(name, ["path"], 1))), "")
        raise InputError(f"{place} names no sound by 'path'.{hint}")
    if "\0" in path:
        raise InputError(f"{place}: {path!r} is no path")
    start_s = _seconds(told, STARTS, place)
    # a duration alone only describes the file
    duration_s = None if start_s is None else _seconds(told, DURATIONS, place)
    given = told.get("id")
    name = (
        str(given) if given not in (None, "") else posixpath.splitext(posixpath.basename(path))[0]
    )
    if not is_url(path):
        path = posixpath.join(folder, path)
    return Item(number, path, name, start_s or 0.0, duration_s, row)


def _of_cut(row: dict[str, Any], place: str) -> dict[str, Any]:
    """The fields of a lhotse cut of one file."""
    try:
        (source,) = row["recording"]["sources"]
        told = {"id": row["id"], "path": source["source"]}
        if row["start"] == 0 and math.isclose(row["duration"], row["recording"]["duration"]):
            return told
        return {**told, "start": row["start"], "duration": row["duration"]}
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{place} is a cut without a single sound file") from None


def _seconds(row: dict[str, Any], names: Sequence[str], place: str) -> float | None:
    for name in names:
        if row.get(name) in (None, ""):
            continue
        try:
            value = float(row[name])
        except (TypeError, ValueError):
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{place}: {name} is {row[name]!r}: give seconds")
        return value
    return None


def _named(items: list[Item]) -> list[Item]:
    """The same with names that are unique, in any spelling, and stay below a folder."""
    names = [_safe(item.name) for item in items]
    count = Counter(name.casefold() for name in names)
    taken = {name for name, times in count.items() if times == 1}
    for number, name in enumerate(names):
        if count[name.casefold()] == 1:
            continue
        fresh = f"{name}-{number}"
        while fresh.casefold() in taken:
            fresh += f"-{number}"
        taken.add(fresh.casefold())
        names[number] = fresh
    return [dataclasses.replace(item, name=name) for item, name in zip(items, names)]


def _safe(name: str) -> str:
    parts = (re.sub(r"[^\w.+=@ -]", "_", part).strip(" .") for part in re.split(r"[/\\]", name))
    return "/".join(part[:120] for part in parts if part) or "sound"
