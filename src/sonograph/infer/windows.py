"""Sounds of any length as batches of windows that a model takes, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sonograph.audio.chunk import Piece, windows
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.audio.io import AUDIO_SUFFIXES, info, stream
from sonograph.audio.live import Live
from sonograph.errors import InputError
from sonograph.outputs import Audio

Sound = str | Path | Audio | Live

# Less than a tenth of a second at the end of a longer sound tells nothing of its own.
SHORTEST_S = 0.1


@dataclass(frozen=True)
class WindowBatch:
    """waveform: (b, samples), zero beyond lengths; start_s: where each window begins."""

    waveform: Float[Tensor, "b n"]
    lengths: Int[Tensor, "b"]
    start_s: list[float]


def window_batches(
    sound: Sound, spec: FeatureSpec, frames: int, hop_frames: int, batch: int
) -> Iterator[WindowBatch]:
    """Windows of `frames` frames every `hop_frames`, as mono at the rate of `spec`.

    A sound shorter than one frame is filled up with silence to one.
    """
    size = spec.samples(frames)
    # of centred frames a window reaches only to the middle of its last one
    hop = min(size, hop_frames * spec.hop_samples)
    least = spec.samples(1)
    pieces = _without_crumbs(windows(blocks_of(sound, spec.rate_hz), size, hop), spec.rate_hz)
    while group := list(islice(pieces, batch)):
        width = max(least, max(piece.valid for piece in group))
        waveform = np.zeros((len(group), width), np.float32)
        for row, piece in zip(waveform, group):
            row[: piece.valid] = piece.samples[0, : piece.valid]
        lengths = torch.tensor([max(piece.valid, least) for piece in group])
        starts = [piece.start / spec.rate_hz for piece in group]
        yield WindowBatch(torch.from_numpy(waveform), lengths, starts)


def blocks_of(sound: Sound, rate_hz: int) -> Iterator[np.ndarray]:
    if isinstance(sound, Audio):
        if not np.isfinite(sound.samples).all():
            raise InputError("the samples hold NaN or infinite values")
        if sound.samples.shape[1] == 0:
            raise InputError("the sound is empty")
        yield sound.mono().resample(rate_hz).samples
    elif isinstance(sound, Live):
        yield from sound.blocks(rate_hz)
    else:
        yield from stream(sound, block_s=10.0, rate_hz=rate_hz, channels="mono")


def _without_crumbs(pieces: Iterable[Piece], rate_hz: int) -> Iterator[Piece]:
    for number, piece in enumerate(pieces):
        if number == 0 or piece.valid >= SHORTEST_S * rate_hz:
            yield piece


def name_of(sound: Sound, number: int) -> str:
    if isinstance(sound, Live):
        return "pipe"
    return f"sound {number}" if isinstance(sound, Audio) else str(Path(sound))


def seconds_of(sound: Sound) -> float:
    """How long a sound says it is; nobody knows of a pipe."""
    if isinstance(sound, Live):
        return float("inf")
    if isinstance(sound, Audio):
        return sound.duration_s
    return info(sound).duration_s


def sound_files(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are given; of a folder every sound file below it, in order of name."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file()
        )
        if not inside:
            raise InputError(f"{path} holds no sound files ({' '.join(AUDIO_SUFFIXES)})")
        found += inside
    return found
