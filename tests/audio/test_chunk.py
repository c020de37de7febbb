from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.audio.chunk import overlap_add, windows, with_context
from sonograph.errors import InputError

CUTS = st.lists(st.integers(0, 300), max_size=6)


def blocks_of(n: int, cuts: list[int], channels: int = 2) -> tuple[np.ndarray, list[np.ndarray]]:
    samples = np.random.default_rng(n).standard_normal((channels, n)).astype(np.float32)
    return samples, np.split(samples, sorted(cut for cut in cuts if cut <= n), axis=1)


def joined(parts) -> np.ndarray:
    return np.concatenate([np.zeros((2, 0), np.float32), *parts], axis=1)


@given(n=st.integers(0, 300), cuts=CUTS, size=st.integers(1, 60), data=st.data())
@settings(max_examples=150, deadline=None)
def test_overlap_add_of_identity(n, cuts, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    samples, blocks = blocks_of(n, cuts)
    got = joined(overlap_add(blocks, lambda x: x, size, overlap))
    assert got.shape == samples.shape
    np.testing.assert_allclose(got, samples, atol=1e-6)


@given(n=st.integers(0, 300), cuts=CUTS, size=st.integers(1, 60), data=st.data())
@settings(max_examples=100, deadline=None)
def test_windows_cover_everything(n, cuts, size, data):
    hop = data.draw(st.integers(1, size))
    samples, blocks = blocks_of(n, cuts)
    pieces = list(windows(blocks, size, hop))
    seen = np.zeros(n, int)
    for k, piece in enumerate(pieces):
        assert piece.start == k * hop
        assert piece.samples.shape == (2, size)
        span = slice(piece.start, piece.start + piece.valid)
        assert np.array_equal(piece.samples[:, : piece.valid], samples[:, span])
        assert not piece.samples[:, piece.valid :].any()
        seen[span] += 1
    assert (seen > 0).all()
    # only the last reaches the end
    assert all(piece.start + size < n for piece in pieces[:-1])


@given(n=st.integers(0, 300), cuts=CUTS, size=st.integers(1, 60), context=st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_context_makes_a_convolution_exact(n, cuts, size, context):
    kernel = np.random.default_rng(0).standard_normal(2 * context + 1)

    def filtered(x):
        return np.stack([np.convolve(row, kernel)[context : context + len(row)] for row in x])

    samples, blocks = blocks_of(n, cuts)
    got = joined(with_context(blocks, filtered, size, context))
    assert got.shape == samples.shape
    if n:
        np.testing.assert_allclose(got, filtered(samples), atol=1e-5)


def test_overlap_add_may_change_the_channels():
    samples, blocks = blocks_of(100, [30])
    got = np.concatenate(list(overlap_add(blocks, lambda x: x[:1] * 2, 32, 8)), axis=1)
    np.testing.assert_allclose(got, samples[:1] * 2, atol=1e-6)


def test_windows_that_disagree_are_faded():
    """Windows of 0, 1, 2 ...: the seams rise evenly from one to the next."""
    count = iter(range(9))
    zeros = [np.zeros((1, 20), np.float32)]
    (out,) = np.concatenate(list(overlap_add(zeros, lambda x: x + next(count), 10, 4)), axis=1)
    np.testing.assert_allclose(out[:12], [0] * 6 + [0.2, 0.4, 0.6, 0.8, 1, 1], atol=1e-6)


def test_mistakes_are_said():
    with pytest.raises(InputError, match="overlap"):
        list(overlap_add([np.zeros((1, 9))], lambda x: x, 8, 8))
    with pytest.raises(InputError, match="number of samples"):
        list(overlap_add([np.zeros((1, 9))], lambda x: x[:, 1:], 8, 2))
    with pytest.raises(InputError, match="follow each other"):
        list(windows([np.zeros((1, 9))], 8, 9))


def test_windows_are_brought_into_order():
    """Channels that every other window exchanges come out straight."""
    samples, blocks = blocks_of(300, [77])
    turn = iter(range(99))

    def exchanged(x):
        return x[::-1] if next(turn) % 2 else x

    def match(known, new):
        straight = np.abs(known - new[:, : known.shape[1]]).sum()
        return new if straight < np.abs(known - new[::-1, : known.shape[1]]).sum() else new[::-1]

    got = joined(overlap_add(blocks, exchanged, 32, 8, match))
    np.testing.assert_allclose(got, samples, atol=1e-6)
