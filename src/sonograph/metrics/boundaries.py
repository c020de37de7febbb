"""How far the boundaries between phones that someone found lie from labelled ones.

>>> found = offsets_ms(np.array([2, 3, 4]), np.array([0.02, 0.06]), 100)
>>> found.round(6).tolist(), error_of(found).within_20
([0.0, -10.0], 1.0)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from sonograph.errors import InputError

EDGE = 1e-6  # ms: a boundary exactly 20 ms off counts as within 20 ms, whatever rounding does


class BoundaryError(NamedTuple):
    """Of all boundaries together. late_ms: the mean with its sign, above 0 where they come late;
    within: shares of boundaries that lie no further off than so many milliseconds.
    """

    mean_ms: float
    median_ms: float
    late_ms: float
    within_10: float
    within_20: float
    within_50: float
    boundaries: int


def offsets_ms(
    durations: Int[np.ndarray, "n"], ends_s: Float[np.ndarray, "n_less_1"], frame_rate_hz: float
) -> Float64[np.ndarray, "n_less_1"]:
    """How much later than labelled each boundary of one clip lies; below 0: earlier.

    durations: frames of each token; ends_s: the labelled end of every token but the last.
    """
    if len(durations) != len(ends_s) + 1 or len(durations) < 2:
        raise InputError(
            f"{len(durations)} tokens have {len(durations) - 1} boundaries, not {len(ends_s)}: "
            "give the end of every token but the last"
        )
    found = np.cumsum(np.asarray(durations, np.float64))[:-1] / frame_rate_hz
    return 1000 * (found - np.asarray(ends_s, np.float64))


def error_of(offsets: Float[np.ndarray, " boundaries"]) -> BoundaryError:
    """What `offsets_ms` of any number of clips come to. Raises InputError for none, or for NaN."""
    if not len(offsets) or not np.isfinite(offsets).all():
        raise InputError("boundary errors are of one finite offset or more")
    off = np.abs(offsets)

    def within(limit: float) -> float:
        return float((off <= limit + EDGE).mean())

    return BoundaryError(
        float(off.mean()), float(np.median(off)), float(offsets.mean()),
        within(10), within(20), within(50), len(off),
    )  # fmt: skip
