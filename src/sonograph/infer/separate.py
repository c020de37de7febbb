"""Sound of any length, rate and number of channels pulled apart, block by block.

Windows overlap and are cross-faded. Talkers have no places of their own, so each window's are put
in the order in which they fit the overlap with the windows before. What comes out is as long as
what went in, at the rate and with the channels of the sound.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import nn

from sonograph.audio.chunk import overlap_add
from sonograph.audio.io import reblock, stream
from sonograph.audio.live import Live
from sonograph.audio.resample import resample_stream
from sonograph.config import Config
from sonograph.errors import InputError
from sonograph.infer.windows import Sound
from sonograph.nn.separator import Separator
from sonograph.outputs import Audio
from sonograph.progress import Progress, silent

Block = Float32[np.ndarray, "channels n"]
Parts = Float32[np.ndarray, "stems channels n"]

BLOCK_S = 10.0  # of sound read at a time
SHIFT_S = 0.5  # shifted copies lie up to this much apart


@dataclasses.dataclass(frozen=True)
class Manner(Config):
    """How a sound is cut for a separator.

    overlap: share of a window that it has in common with the next; None is a quarter, and half
    where stems are exchangeable. window_s: None is what the model names. shifts: so many passes,
    each cut elsewhere, are averaged.
    """

    overlap: float | None = None
    window_s: float | None = None
    shifts: int = 1

    def __post_init__(self) -> None:
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise InputError(f"an overlap of {self.overlap}: give a share of a window below 1")
        if self.window_s is not None and not self.window_s > 0:
            raise InputError(f"a window of {self.window_s} s: give more than 0")
        if self.shifts < 1:
            raise InputError(f"{self.shifts} shifts: give 1 or more")

    def sizes(self, separator: Separator) -> tuple[int, int]:
        """(window, overlap) in samples at the separator's rate."""
        step = separator.step_samples
        if self.window_s is None:
            size = separator.window_samples
        else:
            asked = self.window_s * separator.rate_hz
            size = max(step, round(asked / step) * step)
        share = self.overlap if self.overlap is not None else 0.25 if separator.ordered else 0.5
        return size, min(size - 1, round(share * size / step) * step)

    def latency_s(self, separator: Separator) -> float:
        """How long after a sample its parts are known, when sound comes as it is heard."""
        return self.sizes(separator)[0] / separator.rate_hz


@dataclasses.dataclass(frozen=True)
class Source:
    """A sound that can be read in blocks; `open` begins anew, where that is possible."""

    open: Callable[[], Iterator[Block]]
    rate_hz: int
    channels: int
    samples: int | None  # None: nobody knows

    @classmethod
    def of(cls, sound: Sound, block_s: float = BLOCK_S) -> Source:
        """Of a file, of sound in memory, or of a pipe, which is heard as mono."""
        from sonograph.audio.io import info

        if isinstance(sound, Audio):
            if not np.isfinite(sound.samples).all():
                raise InputError("the samples hold NaN or infinite values")
            if not sound.samples.shape[1]:
                raise InputError("the sound is empty")
            size = max(1, round(block_s * sound.rate_hz))
            return cls(lambda: reblock([sound.samples], size), sound.rate_hz, *sound.samples.shape)
        if isinstance(sound, Live):
            return cls(lambda: sound.blocks(sound.rate_hz, block_s), sound.rate_hz, 1, None)
        about = info(sound)
        return cls(
            lambda: stream(sound, block_s, channels="keep"),
            about.rate_hz, about.channels, about.frames,
        )  # fmt: skip


def separator_of(model: nn.Module) -> Separator:
    """The separator inside a model: itself, or what an objective trains."""
    inner: Any = getattr(model, "separator", model)
    if not isinstance(inner, Separator):
        raise InputError(
            f"{getattr(model, 'name', type(model).__name__)} does not separate: "
            "`sonograph models` lists what does"
        )
    return inner.eval()


def heard_in(model: Any, sound: str | Path, level: int | None = None) -> Separator | None:
    """A separator for all that a model which can be asked hears somewhere in a sound.

    level: sort by a level of the AudioSet ontology instead of by the names that the model knows.
    None where nothing is heard.
    """
    blocks = stream(sound, BLOCK_S, rate_hz=model.rate_hz, channels="mono")
    detected = model.detect(torch.from_numpy(block[0]) for block in blocks)
    masks = model.classes_apart() if level is None else model.hierarchy(level)
    found = model.present(detected, masks)
    return model.following({name: masks[name] for name in found}) if found else None


def part_names(separator: Separator) -> tuple[str, ...]:
    """What `separated` gives: the separator's stems, and what is left of the mixture."""
    return (*separator.stems, separator.rest or "rest")


def useful_parts(separator: Separator) -> tuple[str, ...]:
    """The parts worth a file: what is left only where the model has a name for it."""
    return part_names(separator) if separator.rest else separator.stems


def separated(
    separator: Separator,
    source: Source,
    manner: Manner | None = None,
    progress: Progress = silent,
) -> Iterator[Parts]:
    """The parts of a sound in blocks, in the order of `part_names`; joined, as long as the sound.

    The last is the sound minus all stems, so that all parts add up to it.
    """
    manner = manner or Manner()
    if manner.shifts > 1 and not separator.ordered:
        raise InputError(
            "passes over exchangeable stems cannot be averaged: --shifts is for stems with names"
        )
    if manner.shifts > 1 and source.samples is None:
        raise InputError("a pipe is heard once: --shifts is for files")
    waiting: deque[Block] = deque()  # what was read and is not yet answered
    passes = [_pass(separator, source, manner, k, waiting) for k in range(manner.shifts)]
    done = 0
    for parts in _mean(passes):
        done += parts.shape[2]
        mixture = _take(waiting, parts.shape[2])
        progress(done, source.samples)
        yield np.concatenate((parts, (mixture - parts.sum(0))[None]))


def separate(
    sound: Sound,
    model: nn.Module | str | Path = "guitar",
    manner: Manner | None = None,
    progress: Progress = silent,
) -> dict[str, Audio]:
    """The parts of a sound in memory, by name.

    model: what `weights.load` takes, or a model that is loaded.
    """
    from sonograph.weights import load

    loaded = model if isinstance(model, nn.Module) else load(model)
    separator, source = separator_of(loaded), Source.of(sound)
    blocks = list(separated(separator, source, manner, progress))
    whole = np.concatenate(blocks, axis=2)
    parts = dict(zip(part_names(separator), whole, strict=True))
    return {name: Audio(parts[name], source.rate_hz) for name in useful_parts(separator)}


def enhance(
    sound: Sound,
    model: nn.Module | str | Path = "enhancer",
    manner: Manner | None = None,
    progress: Progress = silent,
) -> Audio:
    """The speech in a sound. Raises InputError for a model that gives none."""
    parts = separate(sound, model, manner, progress)
    if "speech" not in parts:
        raise InputError(f"this model gives {', '.join(parts)}, no speech")
    return parts["speech"]


def _pass(
    separator: Separator, source: Source, manner: Manner, number: int, waiting: deque[Block]
) -> Iterator[Parts]:
    """One pass over the sound, begun `number` shifts of silence before it."""
    rate, channels = source.rate_hz, source.channels
    size, overlap = manner.sizes(separator)
    shift = round(SHIFT_S * rate * number / max(1, manner.shifts))
    read = [0]

    def counted() -> Iterator[Block]:
        if shift:
            yield np.zeros((channels, shift), np.float32)
        for block in source.open():
            read[0] += block.shape[1]
            if not number:
                waiting.append(block)
            yield block

    def function(piece: Block) -> Block:
        return _heard(separator, piece)

    def match(known: Block, new: Block) -> Block:
        stems, width = len(separator.stems), known.shape[1]
        order = best_order(known.reshape(stems, -1, width), new.reshape(stems, -1, new.shape[1]))
        return new.reshape(stems, -1, new.shape[1])[order].reshape(new.shape)

    made = overlap_add(
        resample_stream(counted(), rate, separator.rate_hz),
        function, size, overlap, None if separator.ordered else match,
    )  # fmt: skip
    given, skip = 0, shift
    last: Parts | None = None
    for rows in resample_stream(made, separator.rate_hz, rate):
        if skip:
            dropped = min(skip, rows.shape[1])
            rows, skip = rows[:, dropped:], skip - dropped
        parts = rows.reshape(len(separator.stems), channels, -1)
        if last is not None and last.shape[2]:
            given += last.shape[2]
            yield last
        last = parts
    if last is None:
        return
    left = read[0] - given  # two changes of rate may gain or lose a sample
    last = np.pad(last, ((0, 0), (0, 0), (0, max(0, left - last.shape[2]))))[..., :left]
    if last.shape[2]:
        yield last


def _heard(separator: Separator, piece: Block) -> Block:
    """The stems of a window: (channels, n) -> (stems channels, n), all channels of one stem
    together.
    """
    channels = len(piece)
    waveform = torch.from_numpy(np.ascontiguousarray(piece))
    device = next((weight.device for weight in separator.parameters()), torch.device("cpu"))
    waveform = waveform.to(device)
    with torch.inference_mode():
        if channels == separator.channels:
            parts = separator(waveform[None])[0]
        elif separator.channels == 1:  # each channel alone
            parts = separator(waveform[:, None])[:, :, 0].transpose(0, 1)
            if not separator.ordered:
                first = parts[:, :1].cpu().numpy()
                for c in range(1, channels):
                    order = best_order(first, parts[:, c : c + 1].cpu().numpy())
                    parts[:, c] = parts[:, c].clone()[order]
        elif channels == 1:  # doubled, and the mean of the answers
            parts = separator(waveform.expand(separator.channels, -1)[None])[0].mean(1, True)
        else:
            raise InputError(
                f"the model hears {separator.channels} channels, the sound has {channels}: mix it "
                "down first"
            )
    return parts.flatten(0, 1).float().cpu().numpy()


def best_order(known: Parts, new: Parts) -> list[int]:
    """The order of new stems in which they agree best with known ones, by their inner products.

    Both hold the same stretch; of `new` only as much as is known counts.
    """
    width = known.shape[2]
    table = np.einsum("scn,tcn->st", known, new[..., :width], dtype=np.float64)
    orders = itertools.permutations(range(len(known)))
    return list(max(orders, key=lambda order: sum(table[i, j] for i, j in enumerate(order))))


def _mean(passes: list[Iterator[Parts]]) -> Iterator[Parts]:
    """The mean of streams that hold the same samples in blocks of different lengths."""
    if len(passes) == 1:
        yield from passes[0]
        return
    held: list[Parts | None] = [None] * len(passes)
    while True:
        for k, one in enumerate(passes):
            if held[k] is None and (block := next(one, None)) is not None:
                held[k] = block
        found = [block for block in held if block is not None]
        if len(found) < len(passes):
            return
        least = min(block.shape[2] for block in found)
        parts: Parts = np.stack([block[..., :least] for block in found]).mean(0, dtype=np.float32)
        yield parts
        held = [block[..., least:] if block.shape[2] > least else None for block in found]


def _take(waiting: deque[Block], samples: int) -> Block:
    """The next samples of what was read."""
    taken: list[Block] = []
    while samples > 0:
        block = waiting.popleft()
        taken.append(block[:, :samples])
        if block.shape[1] > samples:
            waiting.appendleft(block[:, samples:])
        samples -= taken[-1].shape[1]
    return taken[0] if len(taken) == 1 else np.concatenate(taken, axis=1)


def mixed_down(blocks: Iterable[Block]) -> Iterator[Block]:
    """The mean of the channels, block by block."""
    for block in blocks:
        yield block.mean(0, keepdims=True, dtype=np.float32)
