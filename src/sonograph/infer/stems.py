"""The parts of a sound as files, written while they come: each appears whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from sonograph.audio.io import FORMATS, UNLIMITED, stream, writer
from sonograph.errors import InputError

ClipMode = Literal["rescale", "clamp", "none"]
Add = Callable[[Mapping[str, np.ndarray]], None]

CODINGS = {"int16": "PCM_16", "int24": "PCM_24", "float32": "FLOAT"}


def track_names(files: Sequence[Path]) -> list[str]:
    """A name for each sound; files of one name are told apart by their folder and place.

    >>> track_names([Path("a/x.wav"), Path("b/x.wav"), Path("y.wav")])
    ['a-x-0', 'b-x-1', 'y']
    """
    names = [file.stem for file in files]
    return [
        file.stem if names.count(file.stem) == 1 else f"{file.parent.name}-{file.stem}-{number}"
        for number, file in enumerate(files)
    ]


@contextlib.contextmanager
def stem_files(
    paths: Mapping[str, Path],
    rate_hz: int,
    channels: int,
    coding: str | None = None,
    clip: ClipMode = "rescale",
) -> Iterator[Add]:
    """Files for parts by name: yields a function that takes {name: (channels, n)} blocks.

    clip says what becomes of values beyond full scale where the coding cannot hold them:
    "rescale" makes all parts of the sound softer by one factor, so that they still add up (they
    are held in files of floats until the end); "clamp" cuts them and says how many; "none" refuses.
    Codings that hold such values (float32) are written as they are. Every file is finished before
    the next one is, so that an interruption leaves whole files or none.
    """
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    subtype = CODINGS.get(coding or "", coding)
    suffixes = {path.suffix.lower() for path in paths.values()}
    held = clip == "rescale" and not all(
        (subtype or FORMATS.get(suffix, ("", ""))[1]) in UNLIMITED for suffix in suffixes
    )
    # a container that knows no limit of four gigabytes
    targets = {
        name: path.with_name(f".{path.name}.{os.getpid()}.rf64") if held else path
        for name, path in paths.items()
    }
    peak = 0.0
    try:
        with contextlib.ExitStack() as opened:
            sinks = {
                name: opened.enter_context(
                    writer(target, rate_hz, channels, "FLOAT" if held else subtype)
                )
                for name, target in targets.items()
            }

            def add(parts: Mapping[str, np.ndarray]) -> None:
                nonlocal peak
                for name, sink in sinks.items():
                    loudest = float(np.abs(parts[name]).max(initial=0.0))
                    if clip == "none" and loudest > 1 and subtype not in UNLIMITED:
                        raise InputError(
                            f"{paths[name]} would reach {loudest:.3g} of full scale: use --clip "
                            "rescale or clamp, or --coding float32"
                        )
                    peak = max(peak, loudest)
                    sink(parts[name])

            yield add
        if held:
            gain = np.float32(1 / max(1.0, peak))
            for name, path in paths.items():
                with writer(path, rate_hz, channels, subtype) as sink:
                    for block in stream(targets[name], 10.0, channels="keep"):
                        sink(block * gain)
    finally:
        if held:
            for target in targets.values():
                target.unlink(missing_ok=True)
