"""Small made sounds for the data tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonograph.data.clips import Clip, Clips

RATE = 8_000


@pytest.fixture
def write_sound(tmp_path) -> Callable[..., Path]:
    """Writes noise of a seed and a length below the test's folder; returns the path."""

    def write(name: str, seconds: float = 0.5, seed: int = 0, channels: int = 1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".g722":  # any bytes are G.722
            path.write_bytes(np.random.default_rng(seed).bytes(int(seconds * RATE)))
            return path
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (int(seconds * RATE), channels))
        coding = "PCM_16" if path.suffix in (".wav", ".flac") else None
        soundfile.write(path, samples, RATE, subtype=coding)
        return path

    return write


@pytest.fixture
def noises(write_sound) -> Clips:
    """Twelve clips of 0.1 to 1.2 s, labels `half` (low, high) and `parity`, groups of two."""
    return Clips(
        [
            Clip(
                id=f"n{k}",
                path=write_sound(f"noise/{k}.wav", 0.1 * (k + 1), k),
                duration_s=0.1 * (k + 1),
                rate_hz=RATE,
                file_frames=800 * (k + 1),
                labels={"half": "low" if k < 6 else "high", "parity": str(k % 2)},
                group=f"g{k // 2}",
            )
            for k in range(12)
        ]
    )
