"""Samplers are pure functions of (seed, k) that cover what they promise to cover."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonograph.data.sampler import ByClasses, ByClips, ByLength, BySeconds
from sonograph.errors import InputError

lengths = st.lists(st.floats(0.05, 30), min_size=1, max_size=40)


@given(lengths, st.integers(1, 7), st.integers(0, 3))
def test_every_clip_comes_once_an_epoch_across_batches(durations, batch, seed):
    sampler = ByClips(durations, batch, crop_s=2.0, seed=seed)
    count = len(durations)
    rows = [draw.index for k in range(3 * count // batch + 1) for draw in sampler(k)]
    for epoch in range(len(rows) // count):
        assert Counter(rows[epoch * count : (epoch + 1) * count]) == Counter(range(count))


@given(lengths, st.integers(0, 1000), st.sampled_from([ByClips, BySeconds]))
def test_crops_lie_within_the_clip_and_are_as_long_as_they_can_be(durations, k, kind):
    for draw in kind(durations, 5, crop_s=2.0)(k):
        assert draw.duration_s == min(2.0, durations[draw.index])
        assert 0 <= draw.start_s <= durations[draw.index] - draw.duration_s + 1e-9


@pytest.mark.parametrize("kind", [ByClips, BySeconds, ByLength])
def test_batch_k_is_the_same_in_any_order_and_another_for_another_seed(kind):
    durations = np.random.default_rng(0).uniform(0.1, 9, 50).tolist()
    forwards, backwards = kind(durations, 4, 10.0, seed=3), kind(durations, 4, 10.0, seed=3)
    first = [forwards(k) for k in range(60)]
    assert [backwards(k) for k in reversed(range(60))] == first[::-1]
    assert kind(durations, 4, 10.0, seed=4)(0) != first[0]
    assert first[0] != first[1]


def test_crop_starts_are_spread_evenly():
    sampler = ByClips([12.0], 100, crop_s=2.0)
    starts = np.array([draw.start_s for k in range(20) for draw in sampler(k)])
    assert np.histogram(starts, 10, (0, 10))[0] == pytest.approx(np.full(10, 200), abs=60)


def test_seconds_are_drawn_evenly_not_clips():
    durations = [1.0, 2.0, 7.0]
    sampler = BySeconds(durations, 100, crop_s=1.0)
    rows = Counter(draw.index for k in range(100) for draw in sampler(k))
    assert [rows[k] / 10_000 for k in range(3)] == pytest.approx([0.1, 0.2, 0.7], abs=0.02)


@given(lengths, st.integers(1, 6), st.floats(1, 60))
def test_batches_by_length_hold_their_bounds_and_cover_the_epoch(durations, batch, limit):
    sampler = ByLength(durations, batch, limit)
    rows: list[int] = []
    k = 0
    while len(rows) < len(durations):
        draws = sampler(k)
        longest = max(draw.duration_s for draw in draws)
        assert len(draws) == 1 or (len(draws) <= batch and len(draws) * longest <= limit + 1e-9)
        rows += [draw.index for draw in draws]
        k += 1
    assert Counter(rows) == Counter(range(len(durations)))


def test_batches_by_length_waste_little_padding():
    durations = np.random.default_rng(0).uniform(0.5, 20, 2000).tolist()
    sampler = ByLength(durations, 64, 100.0)
    batches = [[draw.duration_s for draw in sampler(k)] for k in range(200)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert sum(map(sum, batches)) / padded > 0.85


def test_what_cannot_be_drawn_from_is_told():
    with pytest.raises(InputError, match="no clips"):
        ByClips([], 1, None)
    with pytest.raises(InputError, match="batch_size"):
        ByClips([1.0], 0, None)
    with pytest.raises(InputError, match="above 0"):
        BySeconds([1.0], 1, 0.0)


@given(
    st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=30).filter(any),
    st.integers(1, 7),
)
def test_every_class_comes_equally_often_and_every_clip_of_it_in_turn(classes, batch):
    sampler = ByClasses([1.0] * len(classes), batch, None, 0, [sorted(set(c)) for c in classes])
    known = sorted({name for mine in classes for name in mine})
    turns = 12
    rows = [d.index for k in range(turns * len(known) // batch + 1) for d in sampler(k)]
    for turn in range(turns):
        drawn = rows[turn * len(known) : (turn + 1) * len(known)]
        assert all(classes[row] for row in drawn)
    assert all(draw == again for draw, again in zip(sampler(3), sampler(3)))


def test_a_class_of_one_clip_is_drawn_as_often_as_one_of_many():
    classes = [[0]] * 9 + [[1]]
    sampler = ByClasses([1.0] * 10, 6, None, 0, classes)
    counts = Counter(draw.index for k in range(6) for draw in sampler(k))
    assert counts[9] == 18
    assert [counts[row] for row in range(9)] == [2] * 9


def test_nothing_to_balance_is_told():
    with pytest.raises(InputError, match="of any class"):
        ByClasses([1.0], 2, None, 0, [[]])
