"""What the verbs give back: small typed results that can be saved and turned into plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from sonograph.errors import InputError


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound in memory.

    samples: (channels, n), full scale is [-1, 1]; one-dimensional input becomes one channel.
    """

    samples: Float32[np.ndarray, "channels n"]
    rate_hz: int

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples)
        if samples.dtype.kind not in "f":
            raise InputError(
                f"audio samples are {samples.dtype}: give floats with full scale at 1.0"
            )
        samples = np.atleast_2d(samples).astype(np.float32, copy=False)
        if samples.ndim != 2 or samples.shape[0] == 0:
            raise InputError(f"audio samples have shape {samples.shape}: give (channels, n)")
        if int(self.rate_hz) != self.rate_hz or self.rate_hz <= 0:
            raise InputError(f"a sample rate of {self.rate_hz} Hz is not possible")
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "rate_hz", int(self.rate_hz))

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def duration_s(self) -> float:
        return self.samples.shape[1] / self.rate_hz

    def mono(self) -> Audio:
        """The mean of the channels."""
        if self.channels == 1:
            return self
        return Audio(self.samples.mean(axis=0, keepdims=True), self.rate_hz)

    def resample(self, rate_hz: int) -> Audio:
        """The same sound at another rate (soxr, high quality)."""
        from sonograph.audio.resample import resample

        return Audio(resample(self.samples, self.rate_hz, rate_hz), rate_hz)

    def write(self, path: str | Path, subtype: str | None = None) -> None:
        """Write to a file; the format follows the suffix, see `sonograph.audio.io.write`."""
        from sonograph.audio.io import write

        write(path, self, subtype)

    def to_json(self) -> dict[str, Any]:
        """What this is in plain values, without the samples."""
        return {
            "rate_hz": self.rate_hz,
            "channels": self.channels,
            "frames": self.samples.shape[1],
            "duration_s": self.duration_s,
        }
