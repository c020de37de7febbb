"""`sonograph enhance`: speech out of noise, music and echo; files, or a pipe while it arrives."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from sonograph.verbs.many import Many

if TYPE_CHECKING:
    from sonograph.infer.separate import Manner
    from sonograph.infer.windows import Sound
    from sonograph.nn.separator import Separator
    from sonograph.progress import Progress
    from sonograph.scale.work import Answer, Given

BUNDLED = "enhancer"
PIPE = "-"


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]] = ()
    """Sound files, or folders of them; - for a stream through a pipe."""
    output: Annotated[str, arg(aliases=["-o"])] = "enhanced"
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
    many: Many = Many()


def run(args: Args) -> int:
    from sonograph.errors import InputError
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import many, show

    if not 0 <= args.keep <= 1:
        raise InputError(f"--keep is {args.keep}: give a share, 0 to 1")
    if args.many.manifest:
        return many.run("enhance", args, idle=("rate",))
    separator, manner = _model(args)
    if args.sounds == (Path(PIPE),) or args.output == PIPE:
        return _live(args, separator, manner)
    files = sound_files(many.given(args.sounds))
    told: list[dict[str, Any]] = []
    for file, target in zip(files, _targets(args, files), strict=True):
        line = Line(f"enhancing {file.name}")
        made = _written(separator, manner, args, file, target, line)
        told.append({"sound": str(file), "output": str(target), **made})
        if not args.json:
            lasts, speed = made["duration_s"], made["times_real_time"]
            print(f"{target}: {lasts:.2f} s, {speed:.1f} times real time")
    if args.json:
        show.as_json(told)
    return 0


def _model(args: Args) -> tuple[Separator, Manner]:
    from sonograph.errors import InputError
    from sonograph.infer.separate import Manner, separator_of
    from sonograph.weights import load

    manner = Manner(args.overlap, args.window, args.shifts)
    separator = separator_of(load(args.model))
    if "speech" not in separator.stems:
        raise InputError(
            f"{args.model} gives {', '.join(separator.stems)}, no speech: use `sonograph separate`"
        )
    return separator, manner


def _written(
    separator: Separator,
    manner: Manner,
    args: Args,
    sound: Sound,
    target: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Write the speech of a sound; how long it is and how long that took."""
    import time

    from sonograph.infer.separate import Source, separated
    from sonograph.infer.stems import stem_files

    began, source, done = time.perf_counter(), Source.of(sound), 0
    paths = {"speech": target}
    with stem_files(paths, source.rate_hz, source.channels, args.coding, args.clip) as add:
        for parts in separated(separator, source, manner, progress):
            add({"speech": _clean(parts, separator, args.keep)})
            done += parts.shape[2]
    took, lasts = time.perf_counter() - began, done / source.rate_hz
    return {
        "rate_hz": source.rate_hz,
        "duration_s": lasts,
        "seconds": took,
        "times_real_time": lasts / took,
    }


def prepare(args: Args) -> Answer:
    """The speech of a sound as a file, and its row in a pool's results."""
    from sonograph.progress import silent
    from sonograph.scale.work import SOUNDS, Done

    separator, manner = _model(args)

    def answer(given: Given) -> Done:
        name = f"{given.item.name}.{args.format}"
        made = _written(separator, manner, args, given.sound, given.folder / name, silent)
        kept = {key: made[key] for key in ("rate_hz", "duration_s")}
        return Done({"output": f"{SOUNDS}/{name}", **kept})

    return answer


def _clean(parts: Any, separator: Any, keep: float) -> Any:
    """The speech, and as much of everything else as is kept."""
    speech = parts[separator.stems.index("speech")]
    return speech + keep * (parts.sum(0) - speech) if keep else speech


def _targets(args: Args, files: list[Path]) -> list[Path]:
    """Where each file goes: the output itself for one sound with a suffix, else into a folder."""
    from sonograph.audio.io import FORMATS
    from sonograph.errors import InputError
    from sonograph.infer.stems import track_names

    output = Path(args.output)
    if output.suffix.lower() in FORMATS:
        if len(files) > 1:
            raise InputError(f"{len(files)} sounds do not fit into {output}: give a folder")
        return [output]
    return [output / f"{name}.{args.format}" for name in track_names(files)]


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
    if args.sounds == (Path(PIPE),):
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
