"""Near duplicates and outliers among vectors that were made so."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.scale.alike import BLOCK, loneliness, near_duplicates
from sonograph.scale.alike import unit_rows as unit


def crowd(count: int, width: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


def by_hand(vectors, prints, order, cosine, correlation) -> set[int]:
    """What goes, pair by pair."""
    kept: list[int] = []
    for row in order:
        both = (vectors[kept] @ vectors[row] >= cosine) & (
            prints[kept] @ prints[row] >= correlation
        )
        if not both.any():
            kept.append(row)
    return set(order) - set(kept)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_give_what_every_pair_by_hand_gives(seed: int) -> None:
    count = 2 * BLOCK + 37
    draw = np.random.default_rng(seed)
    vectors, prints = unit(crowd(count, 3, seed)), unit(crowd(count, 3, seed + 9))
    order = draw.permutation(count).tolist()
    found = near_duplicates(vectors, prints, order, 0.9, 0.8)
    assert {same.sound for same in found} == by_hand(vectors, prints, order, 0.9, 0.8)
    gone = {same.sound for same in found}
    assert len(gone) > 50
    for same in found:  # each is told with one that stays, before it, and is like it
        assert same.kept not in gone
        assert order.index(same.kept) < order.index(same.sound)
        assert same.cosine == pytest.approx(float(vectors[same.sound] @ vectors[same.kept]))
        assert same.cosine >= 0.9 - 1e-6
        assert same.correlation >= 0.8 - 1e-6


def test_a_chain_of_small_steps_does_not_join_its_ends() -> None:
    angles = np.linspace(0, np.pi / 2, 10)
    steps = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    found = near_duplicates(steps, steps, range(10), 0.98, 0.98)
    assert {same.sound for same in found} == {1, 3, 5, 7, 9}


def test_outliers_stand_out_and_a_small_crowd_has_none() -> None:
    inside = np.random.default_rng(0).normal(3, 0.3, (300, 24)).astype(np.float32)
    odd = -6 * np.eye(24, dtype=np.float32)[:3]
    scores = loneliness(unit(np.concatenate((inside, odd))), 5)
    assert (scores[300:] > 6).all()
    assert np.median(scores) == pytest.approx(0, abs=1e-9)
    assert (scores[:300] < 6).all()
    assert (loneliness(unit(odd), 5) == 0).all()
    assert np.isfinite(unit(np.zeros((2, 3)))).all()
    assert np.isfinite(loneliness(unit(np.ones((30, 4), np.float32)), 5)).all()


def test_beyond_the_exact_size_faiss_finds_the_same() -> None:
    vectors = unit(crowd(900, 16))
    copies = unit(vectors[:200] + 0.01 * crowd(200, 16, 5))
    both = np.concatenate((vectors, copies))
    if importlib.util.find_spec("faiss") is None:
        with pytest.raises(InputError, match=r"sonograph\[search\]"):
            near_duplicates(both, both, range(len(both)), 0.9, 0.98, exact=100)
        assert not os.environ.get("CI"), "CI installs the extra `search`"
        pytest.skip("faiss is not installed")
    exact = near_duplicates(both, both, range(len(both)), 0.9, 0.98)
    found = near_duplicates(both, both, range(len(both)), 0.9, 0.98, exact=100)
    assert {s.sound for s in exact} == set(range(900, 1100))
    assert len({s.sound for s in found} & set(range(900, 1100))) >= 195
    near, far = loneliness(both, 5), loneliness(both, 5, exact=100)
    assert np.corrcoef(near, far)[0, 1] > 0.9
