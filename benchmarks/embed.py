"""Peak memory and speed of `sonograph embed` on files of one hour and ten.

Each run is a process of its own, measured from outside. The sound is made on the fly and written
as FLAC, block by block.

    python -m benchmarks.embed [HOURS ...]
"""

from __future__ import annotations

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
            seconds, peak = measured("embed", str(sound), "--model", model)
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


def write_hours(path: Path, hours: float, rate_hz: int = RATE_HZ) -> None:
    """A quiet noise that comes and goes, a minute at a time."""
    import soundfile

    stream = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16") as file:
        left = round(hours * 3600 * rate_hz)
        while left > 0:
            count = min(left, 60 * rate_hz)
            swell = np.sin(np.linspace(0, np.pi, count))
            file.write((swell * stream.integers(-60, 60, count)).astype(np.int16))
            left -= count


# VmHWM is of this program alone; getrusage's maximum begins with that of the process before exec.
PROGRAM = """
import re, sys
from pathlib import Path
from sonograph.cli import main
code = main(sys.argv[1:])
told = Path("/proc/self/status")
if told.exists():
    peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", told.read_text())[1])
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
print(peak, file=sys.stderr)
sys.exit(code)
"""


def measured(*arguments: str) -> tuple[float, int]:
    """Seconds and peak memory, in bytes, of `sonograph ARGUMENTS` as a process of its own."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"`sonograph {arguments[0]}` ended with {done.returncode}")
    return seconds, int(done.stderr.split()[-1])


if __name__ == "__main__":
    show(main(tuple(map(float, sys.argv[1:])) or (1.0, 10.0)))
