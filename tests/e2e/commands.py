"""The command line as a user runs it: a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

import sonograph

SOURCE = Path(sonograph.__file__).parent.parent
# A shell says 130 of both. Python ends itself by the signal where the interrupt passed through code
# that was made of a string (a dataclass of an imported module, say), although it was caught.
STOPPED = (130, -signal.SIGINT)
RATE = 16_000


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """One thread, this copy of the package, and no data but what a test makes."""
    kept = {name: value for name, value in os.environ.items() if name != "SONOGRAPH_DATA"}
    return {**kept, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", **more}


def start(*words: object, cwd: Path, **more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "sonograph.cli", *map(str, words)],
        cwd=cwd,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sonograph_command(*words: object, cwd: Path, **more: str) -> Answer:
    process = start(*words, cwd=cwd, **more)
    out, err = process.communicate(timeout=300)
    return Answer(process.returncode, out, err)


def tone(hertz: float, seconds: float = 0.7) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def noise(seed: int, seconds: float = 0.7) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, int(seconds * RATE))


def furnish(room: Path) -> Path:
    """Five short sounds, and a CSV that calls them tone or noise and divides them."""
    rows = ["path,label,split"]
    for k, (name, sound, part) in enumerate(
        [
            ("noise", noise(0), "train"),
            ("tone", tone(440), "train"),
            ("noise", noise(1), "train"),
            ("tone", tone(880), "test"),
            ("noise", noise(2), "test"),
        ]
    ):
        soundfile.write(room / f"{k}.wav", sound, RATE)
        rows.append(f"{k}.wav,{name},{part}")
    (room / "labels.csv").write_text("\n".join(rows) + "\n")
    return room
