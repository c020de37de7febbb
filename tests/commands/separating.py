"""What is typed for systems that pull sounds apart; they differ in a few words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sonograph.audio.io import read, write
from sonograph.outputs import Audio

Commands = list[tuple[list[str], int]]
KINDS = ("mono.wav", "low.ogg", "stereo.flac", "one_sample.wav")


def training(preset: str, data: list[str], run: Path, steps: int = 6) -> Commands:
    """Train, and go on."""
    command = ["train", preset, "--data", *data, "-o", str(run)]
    return [([*command, "--steps", str(steps)], 0), ([*command, "--steps", str(steps + 1)], 0)]


def separating(folder: Path, run: Path, stem: str, steady: bool = True) -> Commands:
    """All kinds of sounds pulled apart, and what is refused.

    steady: whether stems have names, so that passes can be averaged.
    """
    sounds, made = folder / "sounds", folder / "made"
    through = ["--model", str(run), "-o", str(made)]
    file = str(sounds / "mono.wav")
    found: Commands = [(["separate", str(sounds / kind), *through, "--json"], 0) for kind in KINDS]
    found += [
        (["separate", str(sounds), *through, "--name", "all/{track}-{stem}.{ext}"], 0),
        (["separate", file, *through, "--two-stems", stem, "--format", "flac"], 0),
        (["separate", file, *through, "--stems", stem, "--coding", "int24", "--clip", "clamp"], 0),
        (["separate", file, *through, "--overlap", "0.5", "--window", "2", "--format", "mp3"], 0),
        (["separate", file, *through, "--shifts", "2"], 0 if steady else 2),
        (["separate", file, *through, "--stems", "nothing"], 2),
        (["separate", file, *through, "--query", "dog"], 2),
        (["separate", file, *through, "--overlap", "1"], 2),
        (["separate", file, *through, "--name", "../{stem}.wav"], 2),
        (["separate", file, "--model", "ssast-mini", "-o", str(made)], 2),
        (["separate", str(folder / "broken" / "cut.flac"), *through], 2),
        (["separate", str(folder / "broken" / "text.wav"), *through], 2),
        (["separate", str(folder / "missing.wav"), *through], 2),
    ]
    return found


def enhancing(folder: Path, run: Path) -> Commands:
    """Speech out of noise: files, folders, a pipe."""
    sounds, made = folder / "sounds", folder / "enhanced"
    file = str(sounds / "mono.wav")
    through = ["--model", str(run)]
    return [
        (["enhance", file, "-o", str(folder / "clear.flac"), *through], 0),
        (["enhance", str(sounds), "-o", str(made), *through, "--json"], 0),
        (["enhance", file, "-o", str(made), *through, "--keep", "0.2", "--window", "1"], 0),
        (["enhance", file, "-o", "-", *through], 0),
        (["enhance", file, file, "-o", str(folder / "one.wav"), *through], 2),
        (["enhance", file, "-o", str(made), *through, "--keep", "2"], 2),
        (["enhance", file, "-o", str(made), "--model", "ssast-mini"], 2),
        (["enhance", str(folder / "broken" / "cut.flac"), "-o", str(made), *through], 2),
    ]


def songs(folder: Path, stems: tuple[str, ...], count: int = 6) -> Path:
    """Folders of aligned stems, cut from one real sound: the first stem is it, others lie behind.

    Returns the folder above them.
    """
    sound = read(folder / "sounds" / "mono.wav", channels="mono")
    length = min(8 * sound.rate_hz, sound.samples.shape[1] // 2)
    for number in range(count):
        for k, stem in enumerate(stems):
            path = folder / "songs" / f"song{number}" / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            shift = (number * 7919 + k * 104_729) % sound.samples.shape[1]
            part = np.roll(sound.samples, shift, axis=1)[:, :length] / (1 + k)
            write(path, Audio(part, sound.rate_hz))
    return folder / "songs"
