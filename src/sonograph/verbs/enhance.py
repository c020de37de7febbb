"""`sonograph enhance`: speech out of noise, music and echo; files, or a pipe while it arrives."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

BUNDLED = "enhancer"
PIPE = Path("-")


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]]
    """Sound files, or folders of them; - for a stream through a pipe."""
    output: Annotated[Path, arg(aliases=["-o"])] = Path("enhanced")
    """A file for one sound, a folder for several; - writes bare 16-bit samples to a pipe."""
    model: str = BUNDLED
    """A bundled name, a run folder, a published file, or a hub id."""
    keep: float = 0.0
    """How much of the noise stays, 0 to 1."""
    overlap: float | None = None
    """Share of a window that the next one hears again; a quarter unless told."""
    window: float | None = None
    """Seconds heard at once, which is the latency of a pipe; what the model names, unless told."""
    shifts: int = 1
    """Passes, each cut elsewhere, that are averaged; of files."""
    format: Literal["wav", "flac", "mp3", "ogg", "opus"] = "wav"
    """Of files in a folder."""
    coding: Literal["int16", "int24", "float32"] | None = None
    """Of wav and flac files; 16 bits unless told."""
    clip: Literal["rescale", "clamp", "none"] = "rescale"
    """What becomes of values beyond full scale: softer, cut, or an error."""
    rate: int | None = None
    """Samples a second of a pipe that carries bare 16-bit samples rather than WAV."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    import time

    from sonograph.errors import InputError
    from sonograph.infer.separate import Manner, Source, separated, separator_of
    from sonograph.infer.stems import stem_files
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import show
    from sonograph.weights import load

    if not 0 <= args.keep <= 1:
        raise InputError(f"--keep is {args.keep}: give a share, 0 to 1")
    manner = Manner(args.overlap, args.window, args.shifts)
    separator = separator_of(load(args.model))
    if "speech" not in separator.stems:
        raise InputError(
            f"{args.model} gives {', '.join(separator.stems)}, no speech: use `sonograph separate`"
        )
    if args.sounds == (PIPE,) or args.output == PIPE:
        return _live(args, separator, manner)
    files = sound_files(args.sounds)
    told: list[dict[str, Any]] = []
    for file, target in zip(files, _targets(args, files), strict=True):
        began, source = time.perf_counter(), Source.of(file)
        done, line = 0, Line(f"enhancing {file.name}")
        paths = {"speech": target}
        with stem_files(paths, source.rate_hz, source.channels, args.coding, args.clip) as add:
            for parts in separated(separator, source, manner, line):
                add({"speech": _clean(parts, separator, args.keep)})
                done += parts.shape[2]
        took, lasts = time.perf_counter() - began, done / source.rate_hz
        told.append(
            {
                "sound": str(file),
                "output": str(target),
                "rate_hz": source.rate_hz,
                "duration_s": lasts,
                "seconds": took,
                "times_real_time": lasts / took,
            }
        )
        if not args.json:
            print(f"{target}: {lasts:.2f} s, {lasts / took:.1f} times real time")
    if args.json:
        show.as_json(told)
    return 0


def _clean(parts: Any, separator: Any, keep: float) -> Any:
    """The speech, and as much of everything else as is kept."""
    speech = parts[separator.stems.index("speech")]
    return speech + keep * (parts.sum(0) - speech) if keep else speech


def _targets(args: Args, files: list[Path]) -> list[Path]:
    """Where each file goes: the output itself for one sound with a suffix, else into a folder."""
    from sonograph.audio.io import FORMATS
    from sonograph.errors import InputError
    from sonograph.infer.stems import track_names

    if args.output.suffix.lower() in FORMATS:
        if len(files) > 1:
            raise InputError(f"{len(files)} sounds do not fit into {args.output}: give a folder")
        return [args.output]
    return [args.output / f"{name}.{args.format}" for name in track_names(files)]


def _live(args: Args, separator: Any, manner: Any) -> int:
    """Each window's speech as soon as it is known; how long that takes is said first."""
    import sys

    import numpy as np

    from sonograph.audio.live import Live
    from sonograph.errors import InputError
    from sonograph.infer.separate import Source, mixed_down, separated

    if args.output != PIPE or len(args.sounds) != 1:
        raise InputError("through a pipe: `sonograph enhance - -o -`, or one file and -o -")
    size, overlap = manner.sizes(separator)
    step_s = (size - overlap) / separator.rate_hz
    if args.sounds == (PIPE,):
        source = Source.of(Live(sys.stdin.buffer, args.rate), step_s / 2)
    else:
        found = Source.of(args.sounds[0], step_s)
        source = dataclasses.replace(found, open=lambda: mixed_down(found.open()), channels=1)
    print(
        f"latency {manner.latency_s(separator):.2f} s and the time to hear a window; writing "
        f"16-bit mono samples at {source.rate_hz} Hz",
        file=sys.stderr,
    )
    for parts in separated(separator, source, manner):
        speech = np.clip(_clean(parts, separator, args.keep)[0], -1, 1)
        sys.stdout.buffer.write((speech * 32767).astype("<i2").tobytes())
        sys.stdout.buffer.flush()
    return 0
