"""Run a function over sound of any length in bounded memory: windows, context, or overlap-add.

All take an iterator of (channels, n) blocks of any sizes, such as `sonograph.audio.io.stream`, and
give blocks back as soon as they are known; what they hold is a few windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from sonograph.errors import InputError

Block = Float32[np.ndarray, "channels n"]


class Piece(NamedTuple):
    """samples: (channels, size), zero beyond `valid`; start: its first sample in the whole
    sound.
    """

    samples: Block
    start: int
    valid: int


def windows(blocks: Iterable[Block], size: int, hop: int) -> Iterator[Piece]:
    """Windows of `size` samples every `hop`, until one reaches the end; the last is zero-padded.

    Every sample lies in at least one window (hop <= size). Nothing comes of an empty sound.
    """
    if not 1 <= hop <= size:
        raise InputError(f"windows of {size} samples cannot follow each other every {hop} samples")
    held: Block | None = None
    start = 0
    for block in blocks:
        held = block if held is None else np.concatenate((held, block), axis=1)
        done = 0
        while held.shape[1] - done > size:  # more follows, so this one is not the last
            yield Piece(held[:, done : done + size], start, size)
            done += hop
            start += hop
        held = held[:, done:]
    if held is not None and held.shape[1]:
        valid = held.shape[1]
        yield Piece(np.pad(held, ((0, 0), (0, size - valid))), start, valid)


def overlap_add(
    blocks: Iterable[Block], function: Callable[[Block], Block], size: int, overlap: int
) -> Iterator[Block]:
    """`function` of overlapping windows, cross-faded where they meet; as long as the input.

    The fades are linear and sum to 1, so a function that changes nothing gives its input back. It
    always sees `size` samples (the last window zero-padded) and returns as many, of any channels.
    """
    if not 0 <= 2 * overlap <= size or size < 1:
        raise InputError(f"an overlap of {overlap} samples does not fit windows of {size}")
    rise = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    tail: Block | None = None
    last: tuple[Block, int] | None = None
    for piece in windows(blocks, size, size - overlap):
        if last is not None:
            yield last[0][:, : size - overlap]
            tail = last[0][:, size - overlap :] * rise[::-1]
        out = np.array(_same_length(function, piece.samples))
        if tail is not None:
            out[:, :overlap] = out[:, :overlap] * rise + tail
        last = out, piece.valid
    if last is not None:
        yield last[0][:, : last[1]]


def with_context(
    blocks: Iterable[Block], function: Callable[[Block], Block], size: int, context: int
) -> Iterator[Block]:
    """`function` of windows of `size` samples that also see `context` samples on each side.

    What a function with a receptive field of at most `context` to each side gives for the whole
    sound between zeros, exactly. It sees size + 2 context samples and returns as many.
    """
    if size < 1 or context < 0:
        raise InputError(f"windows of {size} samples with {context} of context are not possible")

    def padded() -> Iterator[Block]:
        channels = None
        for block in blocks:
            if channels is None:
                channels = len(block)
                yield np.zeros((channels, context), np.float32)
            yield block
        if channels is not None:
            yield np.zeros((channels, context), np.float32)

    for piece in windows(padded(), size + 2 * context, size):
        kept = min(size, piece.valid - 2 * context)
        if kept > 0:
            yield _same_length(function, piece.samples)[:, context : context + kept]


def _same_length(function: Callable[[Block], Block], samples: Block) -> Block:
    out = function(samples)
    if out.ndim != 2 or out.shape[1] != samples.shape[1]:
        raise InputError(
            f"a function over windows returned {out.shape} for {samples.shape}: "
            "it must keep the number of samples"
        )
    return out
