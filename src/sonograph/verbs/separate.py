"""`sonograph separate`: a mixture to its parts, one file each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:
    from sonograph.nn.separator import Separator

MUSIC, ANYTHING = "guitar", "anything"  # bundled models that are taken unless another is named


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]]
    """Sound files, or folders of them."""
    model: str = ""
    """A bundled name, a run folder, a published file, or a hub id."""
    output: Annotated[Path, arg(aliases=["-o"])] = Path("separated")
    """The folder to write into."""
    name: str = "{track}/{stem}.{ext}"
    """What files are called within it."""
    stems: str = ""
    """Which parts to write, with commas; all, unless told."""
    two_stems: str = ""
    """One part, and everything else as one other."""
    query: UseAppendAction[tuple[str, ...]] = ()
    """What to pull out, by name ("dog", "speech"); may be given several times."""
    like: UseAppendAction[tuple[Path, ...]] = ()
    """What to pull out, by an example of it alone; may be given several times."""
    auto: bool = False
    """Find out what is heard, and write a file for each."""
    level: Literal[1, 2, 3] | None = None
    """With --auto: sort by a level of the AudioSet ontology (1: Animal, Music, Human sounds ...)
    instead of by the names that the model knows."""
    shifts: int = 1
    """Passes, each cut elsewhere, that are averaged."""
    overlap: float | None = None
    """Share of a window that the next one hears again; a quarter, and half for talkers."""
    window: float | None = None
    """Seconds heard at once; what the model names, unless told."""
    format: Literal["wav", "flac", "mp3", "ogg", "opus"] = "wav"
    """Of the files."""
    coding: Literal["int16", "int24", "float32"] | None = None
    """Of wav and flac files; 16 bits unless told."""
    clip: Literal["rescale", "clamp", "none"] = "rescale"
    """What becomes of values beyond full scale: all parts softer, cut, or an error."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    import time

    from sonograph.errors import InputError
    from sonograph.infer.separate import Manner, Source, part_names, separated
    from sonograph.infer.stems import stem_files, track_names
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import show

    if args.two_stems and args.stems:
        raise InputError("give --stems or --two-stems, not both")
    asked = bool(args.query) + bool(args.like) + args.auto
    if asked > 1:
        raise InputError("give one of --query, --like and --auto")
    manner = Manner(args.overlap, args.window, args.shifts)
    files, model = sound_files(args.sounds), _model(args, bool(asked))
    told: list[dict[str, Any]] = []
    for track, file in zip(track_names(files), files, strict=True):
        began = time.perf_counter()
        separator = _asked(model, args, file)
        if separator is None:
            told.append({"sound": str(file), "stems": {}})
            if not args.json:
                print(f"{file}: nothing that the model knows is heard")
            continue
        source, known = Source.of(file), part_names(separator)
        chosen = _chosen(args, separator)
        paths = {stem: _path(args, track, stem) for stem in chosen}
        line = Line(f"separating {file.name}")
        with stem_files(paths, source.rate_hz, source.channels, args.coding, args.clip) as add:
            done = 0
            for block in separated(separator, source, manner, line):
                parts = dict(zip(known, block, strict=True))
                if args.two_stems:
                    parts[_other(args)] = block.sum(0) - parts[args.two_stems]
                add(parts)
                done += block.shape[2]
        took, lasts = time.perf_counter() - began, done / source.rate_hz
        told.append(
            {
                "sound": str(file),
                "stems": {stem: str(path) for stem, path in paths.items()},
                "rate_hz": source.rate_hz,
                "duration_s": lasts,
                "seconds": took,
                "times_real_time": lasts / took,
            }
        )
        if not args.json:
            print(f"{file}: {lasts:.2f} s, {lasts / took:.1f} times real time")
            for path in paths.values():
                print(f"  {path}")
    if args.json:
        show.as_json(told)
    return 0


def _model(args: Args, asked: bool) -> Any:
    from sonograph.errors import InputError
    from sonograph.weights import bundled, load

    name = args.model or (ANYTHING if asked else MUSIC)
    if not args.model and name not in bundled():
        raise InputError(
            "no model that can be asked comes along: give --model, a published one or one of "
            "`sonograph train universal-mini`"
        )
    return load(name)


def _asked(model: Any, args: Args, file: Path) -> Separator | None:
    """The separator for what was asked; None where nothing was found."""
    from sonograph.errors import InputError
    from sonograph.infer.separate import heard_in, separator_of

    if not (args.query or args.like or args.auto):
        if hasattr(model, "asked"):
            raise InputError("this model pulls out what it is asked for: --query, --like or --auto")
        return separator_of(model)
    if not hasattr(model, "asked"):
        raise InputError("this model has fixed stems: --query, --like and --auto are for others")
    if args.query:
        return model.asked({name: model.condition_of_class(name) for name in args.query})
    if args.like:
        return model.asked({f"like {path.stem}": _example(model, path) for path in args.like})
    return heard_in(model, file, args.level)


def _example(model: Any, path: Path) -> Any:
    """The condition that an example asks with; of a long one the first minute is heard."""
    import torch

    from sonograph.audio.io import read

    example = read(path, rate_hz=model.rate_hz, channels="mono", duration_s=60.0)
    return model.condition_of_example(torch.from_numpy(example.samples[0]))


def _chosen(args: Args, separator: Separator) -> list[str]:
    """The names of the files to write."""
    from sonograph.errors import InputError, did_you_mean
    from sonograph.infer.separate import part_names, useful_parts

    wanted = [args.two_stems] if args.two_stems else [s for s in args.stems.split(",") if s]
    known = part_names(separator)
    for stem in wanted:
        if stem not in known:
            raise InputError(
                f"no stem {stem!r}: this model gives {', '.join(known)}."
                f"{did_you_mean(stem, list(known))}"
            )
    if args.two_stems:
        return [args.two_stems, _other(args)]
    return wanted or list(useful_parts(separator))


def _other(args: Args) -> str:
    return f"no_{args.two_stems}"


def _path(args: Args, track: str, stem: str) -> Path:
    from sonograph.errors import InputError

    safe = stem.replace("/", "-").replace("\\", "-").strip(". ") or "stem"
    try:
        name = args.name.format(track=track, stem=safe, ext=args.format)
    except (KeyError, IndexError, ValueError):
        raise InputError(
            f"--name {args.name!r}: {{track}}, {{stem}} and {{ext}} are known"
        ) from None
    path = args.output / name
    if "{stem}" not in args.name or ".." in Path(name).parts or Path(name).is_absolute():
        raise InputError(f"--name {args.name!r} needs {{stem}}, and stays below the output folder")
    return (
        path if path.suffix == f".{args.format}" else path.with_name(f"{path.name}.{args.format}")
    )
