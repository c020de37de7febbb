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
    blocks: Iterable[Block],
    function: Callable[[Block], Block],
    size: int,
    overlap: int,
    match: Callable[[Block, Block], Block] | None = None,
) -> Iterator[Block]:
    """`function` of overlapping windows, cross-faded where they meet; as long as the input.

    The fades are linear, and what windows add up to is divided by the sum of their fades, so a
    function that changes nothing gives its input back. It sees `size` samples, of the last window
    what is left (of a short sound all of it), and returns as many, of any channels. With an overlap
    above half a window, three or more windows meet.

    match: (what is known of the overlap, the new window) -> the new window, its channels put in
    the order of those before.
    """
    if not 0 <= overlap < size:
        raise InputError(f"an overlap of {overlap} samples does not fit windows of {size}")
    rise = np.minimum((np.arange(size, dtype=np.float32) + 1) / (overlap + 1), 1)
    fade = np.minimum(rise, rise[::-1])
    total, weight = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    for piece in windows(blocks, size, size - overlap):
        heard = piece.samples[:, : piece.valid]
        out = _same_length(function, heard)
        if piece.start:  # what the window before leaves no more to change
            yield total[:, : size - overlap] / weight[: size - overlap]
            total, weight = total[:, size - overlap :], weight[size - overlap :]
        else:
            total = np.zeros((len(out), 0), np.float32)
        known = weight.shape[0]
        if match is not None and known:
            shared = min(known, piece.valid)
            out = match(total[:, :shared] / weight[:shared], out)
        more = max(0, piece.valid - known)
        total = np.pad(total, ((0, 0), (0, more)))
        weight = np.pad(weight, (0, more))
        total[:, : piece.valid] += out * fade[: piece.valid]
        weight[: piece.valid] += fade[: piece.valid]
    if weight.shape[0]:
        yield total / weight


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
