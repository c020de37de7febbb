"""Sounds decoded, mixed to mono and resampled once, so that training reads them at little cost."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.progress import Progress, silent

CHEAP = (".flac", ".wav")  # read as they are when rate and channels fit already


def resampled(clips: Clips, rate_hz: int, folder: Path, progress: Progress = silent) -> Clips:
    """The same clips over mono FLAC files at `rate_hz` in `folder`; ready ones are kept.

    Files that have the rate already stay where they are. Levels that would clip after mixing are
    kept by scaling the file to a peak of 1. An interrupted call goes on where it stopped.
    Raises InputError for a file that cannot be read or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror})") from None
    files: dict[Path, tuple[Path, int]] = {}
    total = len({clip.path for clip in clips})
    found = []
    for clip in clips:
        if clip.rate_hz == rate_hz and clip.channels == 1 and clip.path.suffix in CHEAP:
            found.append(clip)
            continue
        if clip.path not in files:
            files[clip.path] = _convert(clip.path, rate_hz, folder)
            progress(len(files), total, f"decoding to {rate_hz} Hz")
        target, frames = files[clip.path]
        found.append(_moved(clip, target, frames, rate_hz))
    progress(total, total, "decoded")
    return Clips(found)


def _convert(path: Path, rate_hz: int, folder: Path) -> tuple[Path, int]:
    from sonograph.audio.io import info, read, write

    about = path.stat()
    mark = f"{path.resolve()} {about.st_size} {about.st_mtime_ns} {rate_hz}"
    target = folder / f"{hashlib.blake2b(mark.encode(), digest_size=12).hexdigest()}.flac"
    if not target.is_file():
        audio = read(path, rate_hz=rate_hz, channels="mono")
        peak = float(abs(audio.samples).max())
        if peak > 1:
            audio = dataclasses.replace(audio, samples=audio.samples / peak)
        write(target, audio)
    return target, info(target).frames


def _moved(clip: Clip, target: Path, frames: int, rate_hz: int) -> Clip:
    start = min(clip.start_s, (frames - 1) / rate_hz)
    return dataclasses.replace(
        clip,
        path=target,
        rate_hz=rate_hz,
        channels=1,
        file_frames=frames,
        start_s=start,
        duration_s=min(clip.duration_s, frames / rate_hz - start),
    )
