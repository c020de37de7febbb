"""Separation of long files: times real time, peak memory, and memory of ten hours beside one.

Commands in processes of their own, measured from outside, on real music in a loop.

    python -m benchmarks.separate [MINUTES]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.embed import measured
from benchmarks.timing import Row, figure, show
from sonograph import registry, weights
from sonograph.audio.io import read, writer
from sonograph.data.corpora import open_sets
from sonograph.recipes.separate.bundled import HELD_OUT_SONGS, SONGS

SYSTEM = "mel_roformer"
SMALL = "mossformer2-enhancer-test"  # of hours, where only what is held counts


def main(minutes: float = 60.0) -> list[Row]:
    """Rows of speed and memory."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        song = folder / "song.wav"
        loop(song, minutes * 60, 44_100, 2)
        seconds, peak = measured("separate", str(song), "-o", str(folder / "out"))
        rows += [
            figure(f"guitar, {minutes:g} min of stereo, the whole command", minutes * 60 / seconds,
                   "times real time"),
            figure(f"guitar, {minutes:g} min of stereo, peak memory", peak / 1e9, "GB")
            | {"at_most": 1.5},
        ]  # fmt: skip
        spoken = folder / "spoken.wav"
        loop(spoken, 600, 16_000, 1)
        seconds, _ = measured("enhance", str(spoken), "-o", str(folder / "clear.wav"))
        rows.append(
            figure("enhancer, 10 min, the whole command", 600 / seconds, "times real time")
            | {"at_least": 1.0}
        )
        run = folder / "small"
        weights.save_folder(run, registry.build(SMALL), {"name": SMALL})
        peaks = []
        for hours in (1, 10):
            long = folder / "long.wav"
            loop(long, 3600 * hours, 16_000, 1)
            through = ("--model", str(run), "--clip", "clamp", "-o", str(folder / "long-out.wav"))
            peaks.append(measured("enhance", str(long), *through)[1])
        rows.append(
            figure("enhance, memory of 10 h beside that of 1 h", peaks[1] / peaks[0], "times")
            | {"at_most": 1.1}
        )
    return rows


def loop(path: Path, seconds: float, rate_hz: int, channels: int) -> None:
    """A held-out song, both parts together at half level, again and again."""
    clips = open_sets(list(SONGS)).filter(lambda clip: clip.group == HELD_OUT_SONGS[0])
    parts = [read(clip.path, rate_hz, channels="keep" if channels == 2 else "mono")
             for clip in clips]  # fmt: skip
    song = np.sum([part.samples for part in parts], axis=0) / 2
    left = round(seconds * rate_hz)
    with writer(path, rate_hz, channels, None) as add:
        while left > 0:
            add(song[:, :left])
            left -= song.shape[1]


if __name__ == "__main__":
    show(main(float(sys.argv[1])) if sys.argv[1:] else main())
