"""What is measured of a sound before it is kept for a collection, in one pass over its samples.

- **Level**: the RMS of the loudest 0.4 s, in dB of full scale (a sine of full scale has -3.0). The
  loudest rather than the mean: a short event in a long quiet recording is no silence. The mean of
  each 0.4 s is taken off first, because an offset is not heard.
- **Clipping**: samples in flat tops. A flat top is three or more samples within one step of 16 bits
  of each other, at the highest or lowest level of its channel, with a jump of more than eight steps
  on both sides. It is looked for at the channel's own extremes, not at full scale, so that sound
  that was clipped first and made softer afterwards is found too; the jumps tell a flat top from the
  crest of a low tone, which is as flat but has no corners. A square wave counts as clipped.
- **True peak** in dB of full scale, at four times the rate (ITU-R BS.1770-4, annex 2; here with
  soxr's filter, which is flatter than the one printed there): what was clipped before a lossy
  coder has no flat tops any more, but overshoots.
- **DC**: the largest mean of a channel, of full scale.
- **SHA-256** of rate, channels and decoded samples: equal for a WAV and the FLAC made of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from sonograph.audio.io import info, read, reblock, stream
from sonograph.audio.resample import resample_stream
from sonograph.outputs import Audio
from sonograph.scale.work import Answer, Done, Given

BLOCK_S, LEVEL_S = 10.0, 0.4
STEP = 1 / 32768  # of 16 bits
FLAT, JUMP = 3, 8  # samples of a flat top; steps on either side of it
QUIET_DB = -200.0  # what is written for nothing at all
EMBEDDED_S = 600.0  # of a longer sound only this much becomes its vector
LEVELLED = 0.1  # RMS that a sound is brought to before that, so that its gain does not count
PRINT_HZ, PRINT_WINDOW, PRINT_HOP = 8000, 256, 64
PRINT_CELLS, PRINT_FLOOR = 32, 1e-4
PRINT_EDGES = (3, 4, 5, 6, 8, 10, 12, 15, 19, 24, 30, 38, 48, 60, 76, 95, 120)  # of the spectrum


@dataclass(frozen=True)
class Measures:
    """See the head of this file. clipped: share of all samples."""

    rate_hz: int
    channels: int
    duration_s: float
    level_db: float
    true_peak_db: float
    clipped: float
    dc: float
    sha256: str


def measure(sound: Path | Audio) -> Measures:
    """All measures of a sound, in bounded memory. Raises InputError as reading does."""
    if isinstance(sound, Audio):
        rate, channels = sound.rate_hz, sound.channels
    else:
        about = info(sound)
        rate, channels = about.rate_hz, about.channels
    content = hashlib.sha256(f"{rate} {channels} ".encode())
    tops = [_FlatTops() for _ in range(channels)]
    sums, count, loudest, peak = np.zeros(channels), 0, 0.0, 0.0

    def heard() -> Iterator[np.ndarray]:
        nonlocal sums, count, loudest
        for block in _blocks(sound, rate):
            content.update(np.ascontiguousarray(block.T).tobytes())
            sums = sums + block.sum(1, dtype=np.float64)
            loudest = max(loudest, _loudest(block, rate, first=count == 0))
            count += block.shape[1]
            for channel, samples in zip(tops, block):
                channel.add(samples)
            yield block

    factor = max(1, round(192_000 / max(rate, 48_000)))
    for block in resample_stream(heard(), rate, factor * rate):
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    clipped = sum(channel.end() for channel in tops)
    return Measures(
        rate_hz=rate,
        channels=channels,
        duration_s=count / rate,
        level_db=decibels(loudest),
        true_peak_db=decibels(peak),
        clipped=clipped / max(1, count * channels),
        dc=float(np.abs(sums / max(1, count)).max()),
        sha256=content.hexdigest(),
    )


def decibels(amplitude: float) -> float:
    """An amplitude in dB of full scale.

    >>> decibels(0.5), decibels(0.0)
    (-6.02, -200.0)
    """
    return round(max(QUIET_DB, 20 * math.log10(amplitude)), 2) if amplitude > 0 else QUIET_DB


def _blocks(sound: Path | Audio, rate_hz: int) -> Iterator[np.ndarray]:
    if isinstance(sound, Audio):
        return reblock([sound.samples], round(BLOCK_S * rate_hz))
    return stream(sound, BLOCK_S, channels="keep")


def _loudest(block: np.ndarray, rate_hz: int, first: bool) -> float:
    """The highest RMS of 0.4 s in a block, and of what is left behind if that is not too short."""
    size = max(1, round(LEVEL_S * rate_hz))
    whole, left = divmod(block.shape[1], size)
    found = 0.0
    if whole:
        parts = block[:, : whole * size].reshape(len(block), whole, size)
        found = float(parts.std(2, dtype=np.float64).max())
    if left >= size // 4 or (first and not whole):
        found = max(found, float(block[:, whole * size :].std(1, dtype=np.float64).max()))
    return found


class _FlatTops:
    """Counts samples in flat tops of one channel by their level, block by block."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.high, self.low = -math.inf, math.inf
        self.held = np.zeros(0, np.float32)  # the last flat stretch and the sample before it

    def add(self, samples: np.ndarray) -> None:
        self.high = max(self.high, float(samples.max(initial=-math.inf)))
        self.low = min(self.low, float(samples.min(initial=math.inf)))
        samples = np.concatenate((self.held, samples))
        rise = np.abs(np.diff(samples))
        breaks = np.flatnonzero(rise > 1.01 * STEP)  # between i and i + 1
        if len(breaks) == 0:  # one stretch that has not ended; its length beyond a second is idle
            self.held = samples[:65536]
            return
        first, last = breaks[:-1] + 1, breaks[1:]  # of each stretch between two breaks
        corners = np.minimum(rise[breaks[:-1]], rise[breaks[1:]]) > JUMP * STEP
        flat = (last - first + 1 >= FLAT) & corners
        levels = np.round(samples[first[flat]] / STEP).astype(np.int64)
        for level, length in zip(levels.tolist(), (last - first + 1)[flat].tolist()):
            self.counts[level] += length
        self.held = samples[breaks[-1] :]

    def end(self) -> int:
        """How many samples lie in flat tops at either extreme."""
        if self.high <= self.low:
            return 0
        high, low = round(self.high / STEP), round(self.low / STEP)
        least = max(high, -low) / 10  # of pulses to one side the other extreme is the rest between
        return sum(
            count
            for level, count in self.counts.items()
            if abs(level) > least and (level >= high - 2 or level <= low + 2)
        )


def sound_print(audio: Audio) -> Float32[np.ndarray, "values"]:
    """The picture of a sound in 32 stretches of time and 16 bands below 4 kHz, of unit length.

    Power in dB with a floor 40 dB below the loudest field, less its mean: the noise that a lossy
    coder adds lies below the floor, and gain does not count. The inner product of two is their
    correlation. Stretches are shares of the whole, so the same sound has to begin and end alike.
    """
    samples = audio.mono().resample(PRINT_HZ).samples[0]
    if len(samples) < PRINT_WINDOW:
        samples = np.pad(samples, (0, PRINT_WINDOW - len(samples)))
    bands = []
    windows = np.lib.stride_tricks.sliding_window_view(samples, PRINT_WINDOW)[::PRINT_HOP]
    for start in range(0, len(windows), 4096):
        part = windows[start : start + 4096] * np.hanning(PRINT_WINDOW).astype(np.float32)
        power = np.square(np.abs(np.fft.rfft(part, axis=1)))
        bands.append(np.stack([power[:, a:b].mean(1) for a, b in pairwise(PRINT_EDGES)], 1))
    energy = np.concatenate(([np.zeros(len(PRINT_EDGES) - 1)], np.concatenate(bands).cumsum(0)))
    times = np.linspace(0, len(energy) - 1, PRINT_CELLS + 1)
    until = np.stack([np.interp(times, np.arange(len(energy)), row) for row in energy.T], 1)
    cells = np.diff(until, axis=0)
    level = np.log10(np.maximum(cells, cells.max() * PRINT_FLOOR) + 1e-30)
    level = level - level.mean()
    return (level / max(1e-9, float(np.linalg.norm(level)))).ravel().astype(np.float32)


@dataclass(frozen=True)
class Measuring:
    """Measures, vector and print of every sound; the label that a tagger is surest of, if asked."""

    model: str
    tagger: str = ""

    @property
    def model_name(self) -> str:
        return self.model

    def settings(self) -> dict[str, Any]:
        from sonograph.verbs.many import weights_sum

        names = (name for name in (self.model, self.tagger) if name)
        return {
            "work": "measuring",
            "model": self.model,
            "tagger": self.tagger,
            "weights": [weights_sum(name) for name in names],
        }

    def prepare(self) -> Answer:
        from sonograph.infer.embed import embed, encoder_of
        from sonograph.infer.tag import require_labels, tag
        from sonograph.weights import load

        model: Any = load(self.model)
        rate = encoder_of(model).spec.rate_hz
        tagger: Any = load(self.tagger) if self.tagger else None
        if tagger is not None:
            require_labels(tagger)

        def answer(given: Given) -> Done:
            row: dict[str, Any] = dataclasses.asdict(measure(given.sound))
            if tagger is not None:
                known = tag(tagger, given.sound).known(1)
                row["tag"] = known[0].label if known else ""
            audio = _levelled(given.sound, rate)
            vector = embed(model, audio, "mean").values[0]
            return Done(row, np.concatenate((vector, sound_print(audio))))

        return answer


def _levelled(sound: Path | Audio, rate_hz: int) -> Audio:
    """The beginning of a sound as mono at a rate, at one level whatever its own is."""
    if isinstance(sound, Audio):
        audio = sound.mono().resample(rate_hz)
    else:
        audio = read(sound, rate_hz=rate_hz, duration_s=EMBEDDED_S, channels="mono")
    samples = audio.samples[:, : round(EMBEDDED_S * rate_hz)]
    samples = samples - samples.mean(dtype=np.float64)
    rms = float(np.sqrt(np.square(samples, dtype=np.float64).mean()))
    return Audio((samples * (LEVELLED / max(rms, 1e-6))).astype(np.float32), rate_hz)


def prints_apart(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a model and the prints, which `Measuring` writes side by side."""
    width = vectors.shape[1] - (len(PRINT_EDGES) - 1) * PRINT_CELLS
    return vectors[:, :width], vectors[:, width:]
