"""Whether bytes are a sound that is taken: told by decoding all of it, in bounded memory.

What a name, a declared type or a header says is not believed. The outline of the sound (lowest and
highest value of every BIN samples) falls off on the way, so that it can be drawn at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonograph.serve.answers import Refused, told
from sonograph.serve.settings import MOST_CHANNELS, RATES_HZ

BIN = 256  # samples of the finest outline that is kept
FULL = 32767  # the outline's full scale


@dataclass(frozen=True)
class About:
    """What decoding found."""

    rate_hz: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate_hz


def check(path: Path, name: str, longest_s: float, outline: Path | None = None) -> About:
    """Decode a file to its end. Raises Refused: 400 damaged, 413 too long, 415 no sound.

    outline: where to write the lows and highs, int16 of (bins, 2).
    """
    from sonograph.audio.io import SOUND, info, stream

    with told(415, {path: name}):
        found = info(path)
    if found.format not in (*SOUND, "WAVEX", "MPEG"):
        raise Refused(415, f"{name} is {found.format}: send one of {' '.join(SOUND)}")
    if found.channels > MOST_CHANNELS:
        raise Refused(400, f"{name} has {found.channels} channels: at most {MOST_CHANNELS}")
    low, high = RATES_HZ
    if not low <= found.rate_hz <= high:
        raise Refused(400, f"{name} is at {found.rate_hz} Hz: give one of {low} to {high} Hz")
    frames = 0
    bins = _Outline(outline)
    try:
        with told(400, {path: name}):
            for block in stream(path, BIN * 1024 / found.rate_hz, channels="keep"):
                frames += block.shape[1]
                if frames > longest_s * found.rate_hz:
                    raise Refused(413, f"{name} is longer than {longest_s:g} s: send a part of it")
                bins.add(block)
    finally:
        bins.close()
    return About(found.rate_hz, found.channels, frames, found.format, found.subtype)


class _Outline:
    """Lows and highs over all channels, appended to a file. Blocks are whole bins but the last."""

    def __init__(self, path: Path | None):
        self.file = path.open("wb") if path else None

    def add(self, block: np.ndarray) -> None:
        if self.file is None:
            return
        low, high = block.min(0), block.max(0)
        begins = np.arange(0, block.shape[1], BIN)
        both = np.stack([np.minimum.reduceat(low, begins), np.maximum.reduceat(high, begins)], 1)
        self.file.write(np.round(both.clip(-1, 1) * FULL).astype("<i2").tobytes())

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
