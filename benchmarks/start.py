"""How long a user waits before anything happens: import, help, a first vector.

Every start is a process of its own, with the files in the system's cache; medians.

    python -m benchmarks.start
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.embed import MODEL, untrained
from benchmarks.timing import Row, figure, show
from sonograph import weights
from sonograph.audio.io import write
from sonograph.outputs import Audio

SYSTEM = "sonograph"
IMPORT = "import time; t = time.perf_counter(); import sonograph; print(time.perf_counter() - t)"


def main(repeats: int = 5) -> list[Row]:
    """Seconds of each start."""
    imports = []
    for _ in range(repeats):
        told = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
        )
        imports.append(float(told.stdout))
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        model = MODEL if MODEL in weights.bundled() else str(untrained(folder / "model"))
        noise = np.random.default_rng(0).standard_normal((1, 10 * 44100))
        write(folder / "sound.wav", Audio(0.1 * noise, 44100))
        help_s = started(["--help"], repeats)
        embed_s = started(["embed", str(folder / "sound.wav"), "--model", model], repeats)
    return [
        figure("import sonograph", statistics.median(imports), "s") | {"at_most": 0.1},
        figure("sonograph --help", help_s, "s") | {"at_most": 0.3},
        figure("sonograph embed FILE of 10 s, cold", embed_s, "s") | {"at_most": 6.0},
    ]


def started(arguments: list[str], repeats: int) -> float:
    """Median seconds of a whole process."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        command = [sys.executable, "-m", "sonograph.cli", *arguments]
        subprocess.run(command, capture_output=True, check=True)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


if __name__ == "__main__":
    show(main())
