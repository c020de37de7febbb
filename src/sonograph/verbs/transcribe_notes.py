"""`sonograph transcribe-notes`: the melody of a sound as notes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from sonograph.outputs import Notes

Format = Literal["text", "csv", "json", "midi"]
BUNDLED = "melody"  # what is taken unless another is named
SUFFIXES: dict[str, Format] = {
    ".mid": "midi",
    ".midi": "midi",
    ".csv": "csv",
    ".json": "json",
    ".txt": "text",
}


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]]
    """Sound files, or folders of them."""
    model: str = ""
    """A transcriber: a bundled name, a run folder, or a hub id."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The file to write, instead of the screen; its suffix tells the format: .mid .csv .json."""
    format: Format | None = None
    """text: a note a line. midi: a Standard MIDI File of one sound."""
    least: float | None = None
    """How sure of a note to be, 0 to 1; what the model names (0.5), unless told."""
    beats: float = 120.0
    """Beats a minute that a MIDI file is written in; the notes stay where they are."""
    json: bool = False
    """Print JSON, the same as --format json."""


def run(args: Args) -> int:
    from sonograph.audio.midi import write_midi
    from sonograph.errors import InputError
    from sonograph.infer.transcribe import transcribe_notes, transcriber_of
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import show
    from sonograph.weights import bundled, load
    from sonograph.writing import write_whole

    form = _format(args)
    if args.least is not None and not 0 <= args.least <= 1:
        raise InputError(f"--least is {args.least}: give a probability, 0 to 1")
    files = sound_files(args.sounds)
    if form == "midi" and (len(files) != 1 or args.output is None):
        raise InputError("a MIDI file is of one sound: give one, and -o FILE.mid")
    if not args.model and BUNDLED not in bundled():
        raise InputError("which model? give --model RUN, a transcriber's folder")
    model = transcriber_of(load(args.model or BUNDLED))
    if args.least is not None:
        model.notes = model.notes.override(least_frame=args.least)
    found = [transcribe_notes(model, file, Line(f"hearing {file.name}")) for file in files]
    if form == "midi":
        assert args.output is not None
        write_midi(args.output, found[0].notes, args.beats)
        print(f"{args.output}: {len(found[0].notes)} notes")
        return 0
    if form == "json":
        content = show.json_text([notes.to_json() for notes in found])
    else:
        content = _csv(found) if form == "csv" else _text(found)
    if args.output is None:
        print(content, end="" if content.endswith("\n") else "\n")
    else:
        write_whole(args.output, content.encode())
    return 0


def _format(args: Args) -> Format:
    from sonograph.errors import InputError

    if args.json:
        return "json"
    if args.format:
        return args.format
    if args.output is None:
        return "text"
    suffix = args.output.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{args.output}: which format? give --format, or {' '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def _text(found: list[Notes]) -> str:
    lines = []
    for notes in found:
        lines.append(notes.name)
        for note in notes.notes:
            times = f"{note.onset_s:8.2f} - {note.offset_s:8.2f} s"
            lines.append(f"  {times}  {note.name:<4} {note.score:.0%}")
        if not notes.notes:
            lines.append("  no note is heard")
    return "\n".join(lines) + "\n"


def _csv(found: list[Notes]) -> str:
    import csv
    import io

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "onset_s", "offset_s", "pitch", "key", "score"])
    for notes in found:
        for n in notes.notes:
            times = (f"{n.onset_s:.3f}", f"{n.offset_s:.3f}")
            rows.writerow([notes.name, *times, f"{n.pitch:g}", n.name, f"{n.score:.4f}"])
    return text.getvalue()
