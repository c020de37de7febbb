"""Rules and balance on measures that were made up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sonograph.errors import InputError
from sonograph.scale.choose import Rules, choose, most_of_each
from sonograph.scale.manifest import Item
from sonograph.scale.measure import PRINT_CELLS, PRINT_EDGES

PRINT = (len(PRINT_EDGES) - 1) * PRINT_CELLS
FINE = {
    "rate_hz": 16000, "channels": 1, "duration_s": 1.0, "level_db": -20.0, "true_peak_db": -3.0,
    "clipped": 0.0, "dc": 0.0,
}  # fmt: skip


def made(count: int):
    """Items, good measures of different content, and vectors that are far apart."""
    items = [Item(k, f"/s/{k}.wav", str(k), row={"path": f"{k}.wav"}) for k in range(count)]
    draw = np.random.default_rng(0).standard_normal((count, 8 + PRINT)).astype(np.float32)
    draw[:, 8:] /= np.linalg.norm(draw[:, 8:], axis=1, keepdims=True)
    return items, [FINE | {"sha256": str(k)} for k in range(count)], draw


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"error": "is text"}, "unreadable"),
        ({"duration_s": 0.09}, "too short"),
        ({"level_db": -60.1}, "silent"),
        ({"dc": 0.11}, "offset"),
        ({"clipped": 0.0011}, "clipped"),
        ({"true_peak_db": 3.1}, "clipped"),
        ({"sha256": "1"}, "duplicate"),
        ({"duration_s": 0.1, "level_db": -60.0, "dc": 0.1, "clipped": 0.001}, ""),
    ],
)
def test_each_reason(change: dict, reason: str) -> None:
    items, measured, vectors = made(5)
    measured[3] = measured[3] | change
    if "error" in change:
        vectors = np.delete(vectors, 3, 0)
    verdicts = choose(items, measured, vectors, None, Rules())
    assert [verdict.reason for verdict in verdicts] == ["", "", "", reason, ""]


def test_the_better_copy_stays() -> None:
    items, measured, vectors = made(4)
    vectors[1:] = vectors[0]
    items[0] = Item(0, "/s/0.mp3", "0")
    measured[1] = measured[1] | {"rate_hz": 8000}
    verdicts = choose(items, measured, vectors, None, Rules())
    assert [verdict.reason for verdict in verdicts] == [
        *["near duplicate"] * 2,
        "",
        "near duplicate",
    ]
    assert verdicts[0].detail == "of /s/2.wav, correlation 1.000"


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 60), min_size=1, max_size=6),
    st.floats(0.01, 1),
    st.integers(0, 40),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # beside anything busy
def test_no_value_has_more_than_its_share(counts: dict[str, int], share: float, most: int) -> None:
    rules = Rules(share=share, most=most)
    if share < 1 and share * len(counts) < 1:
        with pytest.raises(InputError, match="--share is too small"):
            most_of_each(counts, rules)
        return
    found = most_of_each(counts, rules)
    left = {value: min(found, count) for value, count in counts.items()}
    assert found >= 1
    assert not most or found <= most
    if share < 1 and found > 1:
        assert max(left.values()) <= share * sum(left.values()) + 1e-9


def test_balance_draws_the_same_whatever_else_there_is() -> None:
    items, measured, vectors = made(30)
    values = ["en"] * 20 + ["fr"] * 10

    def kept(count: int) -> set[int]:
        verdicts = choose(
            items[:count], measured[:count], vectors[:count], values[:count], Rules(most=8)
        )
        return {n for n, verdict in enumerate(verdicts) if not verdict.reason}

    found = kept(30)
    assert Counter(values[n] for n in found) == {"en": 8, "fr": 8}
    assert found == kept(30)
    assert {n for n in found if n < 20} == kept(20)


def test_impossible_rules_and_nothing_at_all() -> None:
    with pytest.raises(InputError, match="--share"):
        Rules(share=0)
    with pytest.raises(InputError, match="--clipped"):
        Rules(clipped=1.5)
    assert choose([], [], np.zeros((0, 0), np.float32), [], Rules(most=3)) == []
