"""Peak memory and speed of `sonograph embed` on files of one hour and ten.

Each run is a process of its own, measured from outside. The sound is made on the fly and written
as FLAC, block by block.

    python -m benchmarks.embed [HOURS ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import Row, figure, show
from sonograph import registry, weights

SYSTEM = "ssast"
RATE_HZ = 16000
MODEL = "ssast-mini"


def main(hours: tuple[float, ...] = (1.0, 10.0)) -> list[Row]:
    """Peak memory and real-time factor for each length, and how much the memory grows."""
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        model = MODEL if MODEL in weights.bundled() else str(untrained(folder / "model"))
        for length in hours:
            sound = folder / "long.flac"
            write_hours(sound, length)
            seconds, peak = embed(sound, model)
            peaks.append(peak)
            memory = figure(f"embed {length:g} h, peak memory", peak / 1e9, "GB")
            rows.append(memory | {"at_most": 1.5})
            factor = length * 3600 / seconds
            rows.append(figure(f"embed {length:g} h, times as fast as it sounds", factor, ""))
    if len(peaks) > 1:
        words = f"peak memory of {hours[-1]:g} h over that of {hours[0]:g} h"
        rows.append(figure(words, peaks[-1] / peaks[0], "") | {"at_most": 1.1})
    return rows


def untrained(folder: Path) -> Path:
    """The weights do not matter for time and memory."""
    return weights.save_folder(folder, registry.build(MODEL), {"name": MODEL, "system": SYSTEM})


def write_hours(path: Path, hours: float) -> None:
    """A quiet noise that comes and goes, a minute at a time."""
    import soundfile

    stream = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        left = round(hours * 3600 * RATE_HZ)
        while left > 0:
            count = min(left, 60 * RATE_HZ)
            swell = np.sin(np.linspace(0, np.pi, count))
            file.write((swell * stream.integers(-60, 60, count)).astype(np.int16))
            left -= count


def embed(sound: Path, model: str) -> tuple[float, int]:
    """Seconds and peak memory, in bytes, of `sonograph embed` as a process of its own."""
    command = [sys.executable, "-m", "sonograph.cli", "embed", str(sound), "--model", model]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"`sonograph embed` ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, usage.ru_maxrss * unit


if __name__ == "__main__":
    show(main(tuple(map(float, sys.argv[1:])) or (1.0, 10.0)))
