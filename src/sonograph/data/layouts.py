"""Sets that a user already has, opened by path: published layouts, folders, CSV and JSONL."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sonograph.data.clips import Clip, Clips
from sonograph.data.openers import measure
from sonograph.errors import InputError

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".g722")
COLUMNS = {  # plain rows: field -> accepted column names
    "path": ("path", "file", "filename", "audio", "audio_filepath"),
    "start_s": ("start_s", "start", "offset"),
    "duration_s": ("duration_s", "duration"),
    "label": ("label", "class", "category"),
    "text": ("text", "transcript", "sentence"),
    "speaker": ("speaker", "speaker_id"),
    "language": ("language", "lang"),
    "group": ("group",),
    "split": ("split", "subset"),
    "licence": ("licence", "license"),
    "id": ("id",),
}
MIXTURES = {"mixture", "mix", "linear_mixture"}
STEMS = {"vocals", "drums", "bass", "other", "guitar", "piano", "accompaniment", "rest"}
SPLIT_WORDS = {"validation": "valid", "val": "valid", "dev": "valid", "training": "train"}


def open_path(path: Path) -> Clips:
    """Clips of whatever lies at a path; a published layout is told by the files that define it."""
    if path.is_dir():
        for is_it, opener in (
            (_is_esc, open_esc),
            (_is_speech_commands, open_speech_commands),
            (_is_ljspeech, open_ljspeech),
            (_is_librispeech, open_librispeech),
            (_is_stems, open_stems),
            (_is_saved, lambda folder: open_jsonl(folder / "clips.jsonl")),
        ):
            if is_it(path):
                return opener(path)
        return open_folder(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: give a folder, a .csv or a .jsonl")
    if path.suffix == ".csv":
        return open_csv(path)
    if path.suffix == ".jsonl":
        return open_jsonl(path)
    if path.suffix.lower() in SUFFIXES:
        return Clips([dataclasses.replace(measure(path), group=path.stem)])
    raise InputError(f"{path} is no folder, .csv, .jsonl or sound file")


# --- published layouts


def _is_esc(folder: Path) -> bool:
    for table in (folder / "meta.csv", folder / "meta/esc50.csv"):
        if table.is_file():
            with open(table, encoding="utf-8") as file:
                head = file.readline()
            return "fold" in head and "category" in head
    return False


def open_esc(folder: Path) -> Clips:
    """ESC-50 and ESC-10 (Piczak 2015): task "class", published folds 1-5.

    Either `meta/esc50.csv` with `audio/`, or `meta.csv` with paths. Clips cut from one source
    recording are one group; the published folds keep them together as well.
    """
    table = next(p for p in (folder / "meta.csv", folder / "meta/esc50.csv") if p.is_file())
    clips = []
    for row in _rows(table):
        name = row.get("path") or f"audio/{row['filename']}"
        source = row.get("clip_id") or row.get("src_file") or Path(name).stem
        clips.append(
            dataclasses.replace(
                measure(_inside(folder, name, table)),
                id=Path(name).stem,
                labels={"class": row["category"]},
                group=f"esc/{source}",
                split=f"fold{int(row['fold'])}",
                licence="CC BY(-NC) 3.0, see the set's own list",
                source="esc",
            )
        )
    return Clips(clips)


def _is_stems(folder: Path) -> bool:
    """At least two folders, each with the same two or more sounds by name, one of them a stem's."""
    by_song: dict[Path, set[str]] = {}
    for path in _walk(folder):
        by_song.setdefault(path.parent, set()).add(path.stem.lower())
    kinds = {frozenset(names - MIXTURES) for names in by_song.values()}
    return (
        len(by_song) > 1 and len(kinds) == 1 and len(min(kinds)) >= 2 and bool(STEMS & min(kinds))
    )


def open_stems(folder: Path) -> Clips:
    """Songs as folders of stems (MUSDB18-HQ and its like): task "stem", one group a song.

    A folder `train` or `test` above a song is its split. A file called `mixture` or `mix` is left
    out: it is the sum of the others. Raises InputError where stems of a song differ in length.
    """
    clips: list[Clip] = []
    for path in _walk(folder):
        if path.stem.lower() in MIXTURES:
            continue
        inside = path.relative_to(folder)
        parts = [part for part in inside.parts[:-2] if part in ("train", "valid", "test")]
        clips.append(
            dataclasses.replace(
                measure(path),
                id=inside.as_posix(),
                labels={"stem": path.stem.lower()},
                group=f"song/{inside.parent.as_posix()}",
                split=parts[0] if parts else None,
            )
        )
    lengths: dict[str, set[int]] = {}
    for clip in clips:
        lengths.setdefault(clip.group, set()).add(clip.file_frames)
    if odd := [group for group, found in lengths.items() if len(found) > 1]:
        raise InputError(
            f"the stems of {odd[0].removeprefix('song/')} differ in length: they are not aligned"
        )
    return Clips(clips)


def _is_speech_commands(folder: Path) -> bool:
    return all((folder / f"{part}_list.txt").is_file() for part in ("validation", "testing"))


def open_speech_commands(folder: Path) -> Clips:
    """Speech Commands (Warden 2018): task "word", splits by its two lists, speakers by name."""
    split_of = {}
    for part, name in (("validation", "valid"), ("testing", "test")):
        for line in (folder / f"{part}_list.txt").read_text(encoding="utf-8").split():
            split_of[line] = name
    clips = []
    for path in _walk(folder):
        inside = path.relative_to(folder).as_posix()
        if inside.startswith("_background_noise_") or "/" not in inside:
            continue
        speaker = path.stem.partition("_nohash_")[0]
        clips.append(
            dataclasses.replace(
                measure(path),
                id=inside,
                labels={"word": path.parent.name},
                text=path.parent.name,
                language="en",
                speaker=speaker,
                group=f"speech-commands/{speaker}",
                split=split_of.get(inside, "train"),
                licence="CC BY 4.0",
                source="speech-commands",
            )
        )
    return Clips(clips)


def _is_ljspeech(folder: Path) -> bool:
    return (folder / "metadata.csv").is_file() and (folder / "wavs").is_dir()


def open_ljspeech(folder: Path) -> Clips:
    """LJSpeech: `metadata.csv` with id|text|normalised text, `wavs/`; a chapter is a group."""
    clips = []
    for number, line in enumerate((folder / "metadata.csv").read_text("utf-8").splitlines(), 1):
        name, *texts = line.split("|")
        if not texts:
            raise InputError(f"{folder / 'metadata.csv'} line {number} has no '|': id|text|text")
        path = _inside(folder, f"wavs/{name}.wav", folder / "metadata.csv")
        clips.append(
            dataclasses.replace(
                measure(path),
                id=name,
                text=texts[-1],
                language="en",
                speaker="ljspeech",
                group=f"ljspeech/{name.partition('-')[0]}",
                licence="public domain",
                source="ljspeech",
            )
        )
    return Clips(clips)


LIBRISPEECH = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")


def _is_librispeech(folder: Path) -> bool:
    names = {folder.name, *(one.name for one in folder.iterdir() if one.is_dir())}
    return any(LIBRISPEECH.fullmatch(name) for name in names) and (
        next(folder.rglob("*.trans.txt"), None) is not None
    )


def open_librispeech(folder: Path) -> Clips:
    """LibriSpeech (Panayotov 2015), whole or one part: text, speaker, split by the part's name."""
    clips = []
    for table in sorted(folder.rglob("*.trans.txt")):
        part = next(
            (name for name in reversed(table.parts) if LIBRISPEECH.fullmatch(name)), "train-clean"
        )
        for line in table.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            speaker = name.partition("-")[0]
            clips.append(
                dataclasses.replace(
                    measure(_inside(table.parent, f"{name}.flac", table)),
                    id=f"{part}/{name}",
                    text=text,
                    language="en",
                    speaker=speaker,
                    group=f"librispeech/{speaker}",
                    split=SPLIT_WORDS.get(part.partition("-")[0], part.partition("-")[0]),
                    licence="CC BY 4.0",
                    source="librispeech",
                )
            )
    return Clips(clips)


# --- a user's own


def open_folder(folder: Path) -> Clips:
    """Every sound below a folder; the first sub-folder's name is the label of task "class".

    Sub-folders train, valid/dev and test are taken as a published split, labels one level below.
    A .txt beside a sound, of the same name, is what is said in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    clips = []
    for path in _walk(folder):
        inside = path.relative_to(folder)
        parts = list(inside.parts[:-1])
        split = None
        if parts and (word := SPLIT_WORDS.get(parts[0], parts[0])) in ("train", "valid", "test"):
            split = word
            parts = parts[1:]
        clips.append(
            dataclasses.replace(
                measure(path),
                id=inside.as_posix(),
                labels={"class": parts[0]} if parts else {},
                text=_beside(path),
                group=inside.as_posix(),
                split=split,
                source=folder.name,
            )
        )
    if not clips:
        raise InputError(f"{folder} holds no sound files ({', '.join(SUFFIXES)})")
    return Clips(clips)


def _beside(path: Path) -> str | None:
    """The text that lies beside a sound."""
    words = path.with_suffix(".txt")
    if not words.is_file():
        return None
    try:
        return words.read_text(encoding="utf-8").strip() or None
    except UnicodeDecodeError:
        raise InputError(f"{words} is no UTF-8 text") from None


def _is_saved(folder: Path) -> bool:
    return (folder / "clips.jsonl").is_file()


def open_csv(path: Path) -> Clips:
    """A CSV with a header: column `path` (relative to the CSV), and any of id, start_s, duration_s,
    label, text, speaker, language, group, split, licence; `label:TASK` columns label more tasks.
    """
    return Clips([_row_clip(row, path, number) for number, row in enumerate(_rows(path), 2)])


def open_jsonl(path: Path) -> Clips:
    """Lines that `Clips.save` or lhotse wrote, or plain objects with the columns of `open_csv`."""
    cuts, clips = [], []
    for number, row in _json_lines(path):
        if "recording" in row and "type" in row:
            cuts.append((number, row))
        else:
            clips.append(_row_clip(row, path, number))
    if not cuts:
        if not clips and path.stat().st_size:
            raise InputError(f"{path} holds no clips")
        return Clips(clips)
    return Clips([*_cut_clips(cuts, path), *clips])


def _cut_clips(cuts: list[tuple[int, dict[str, Any]]], path: Path) -> Iterator[Clip]:
    """Clips of lhotse's cut lines, read as plain JSON: fast, and lhotse need not be there."""
    for number, row in cuts:
        try:
            recording, first = row["recording"], (row.get("supervisions") or [{}])[0]
            (source,) = recording["sources"]
            custom = row.get("custom") or {}
            if source["type"] != "file":
                raise InputError(f"{path} line {number}: its audio is no file: save it first")
            yield Clip(
                id=row["id"],
                path=path.parent / source["source"],
                start_s=float(row["start"]),
                duration_s=float(row["duration"]),
                rate_hz=int(recording["sampling_rate"]),
                channels=len(source["channels"]),
                file_frames=int(recording["num_samples"]),
                labels={str(k): str(v) for k, v in custom.get("labels", {}).items()},
                text=first.get("text"),
                language=first.get("language"),
                speaker=first.get("speaker"),
                group=custom.get("group") or first.get("speaker") or "",
                split=custom.get("split"),
                licence=custom.get("licence", ""),
                source=custom.get("source", ""),
                synthetic=bool(custom.get("synthetic", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path} line {number} is no cut of lhotse ({error}): write it again with save()"
            ) from None


def _row_clip(row: Mapping[str, Any], table: Path, number: int) -> Clip:
    def value(field: str) -> str | None:
        for column in COLUMNS[field]:
            if row.get(column) not in (None, ""):
                return str(row[column])
        return None

    def seconds(field: str) -> float | None:
        text = value(field)
        try:
            found = None if text is None else float(text)
        except ValueError:
            found = -1.0
        if found is not None and not 0 <= found < float("inf"):
            raise InputError(f"{table} line {number}: {field} is {text!r}, not seconds")
        return found

    name = value("path")
    if name is None:
        raise InputError(f"{table} line {number} has no path: name the column 'path'")
    whole = measure(_inside(table.parent, name, table))
    start = seconds("start_s") or 0.0
    length = seconds("duration_s")
    duration = whole.duration_s - start if length is None else length
    if start + duration > whole.duration_s + 1e-3 or duration <= 0:
        raise InputError(
            f"{table} line {number}: {start} s + {duration} s does not lie in {name}, which lasts "
            f"{whole.duration_s:.3f} s"
        )
    labels = {str(k)[6:]: str(v) for k, v in row.items() if str(k).startswith("label:") and v}
    given = row.get("labels")
    if isinstance(given, Mapping):
        labels |= {str(task): str(label) for task, label in given.items()}
    if label := value("label"):
        labels.setdefault("class", label)
    speaker, split = value("speaker"), value("split")
    fold = row.get("fold")
    if split is None and fold not in (None, ""):
        split = f"fold{fold}"
    return dataclasses.replace(
        whole,
        id=value("id") or (name if start == 0 and length is None else f"{name}@{start:g}"),
        start_s=start,
        duration_s=min(duration, whole.duration_s - start),
        labels=labels,
        text=value("text"),
        language=value("language"),
        speaker=speaker,
        group=value("group") or speaker or name,
        split=SPLIT_WORDS.get(split, split) if split else None,
        licence=value("licence") or "",
        source=table.stem,
    )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                yield {key: value for key, value in row.items() if key is not None}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path} is no CSV ({error})") from None


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise InputError(f"{path} line {number} is no JSON object")
                    yield number, row
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is broken: {error.msg} in line {number}") from None


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def _inside(folder: Path, name: str, table: Path) -> Path:
    path = folder / name
    if not path.is_file():
        raise InputError(f"{table} names {name}, which does not exist")
    return path
