from __future__ import annotations

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.metrics.boundaries import error_of, offsets_ms


def test_offsets_have_a_sign():
    found = offsets_ms(np.array([2, 3, 4]), np.array([0.03, 0.04]), frame_rate_hz=100)
    assert found == pytest.approx([-10, 10])


@pytest.mark.parametrize("shift_ms", [-37.0, -20.0, 0.0, 12.5, 20.0])
def test_a_shift_of_all_boundaries_is_that_error(shift_ms):
    durations = np.random.default_rng(0).integers(1, 20, 50)
    ends_s = np.cumsum(durations)[:-1] / 62.5 - shift_ms / 1000
    found = error_of(offsets_ms(durations, ends_s, 62.5))
    assert found.mean_ms == pytest.approx(abs(shift_ms), abs=1e-6)
    assert found.median_ms == pytest.approx(abs(shift_ms), abs=1e-6)
    assert found.late_ms == pytest.approx(shift_ms, abs=1e-6)
    assert found.within_20 == (abs(shift_ms) <= 20)
    assert found.within_50 == 1
    assert found.boundaries == 49


def test_shares_of_what_lies_near():
    found = error_of(np.array([0.0, -10.0, 15.0, 20.0, 49.0, -51.0, 300.0, 8.0]))
    assert (found.within_10, found.within_20, found.within_50) == (3 / 8, 5 / 8, 6 / 8)
    assert found.median_ms == 17.5


def test_what_is_no_list_of_boundaries():
    with pytest.raises(InputError, match="2 boundaries, not 3"):
        offsets_ms(np.array([2, 3, 4]), np.zeros(3), 100)
    with pytest.raises(InputError, match="0 boundaries"):
        offsets_ms(np.array([2]), np.zeros(0), 100)
    with pytest.raises(InputError, match="finite"):
        error_of(np.array([]))
    with pytest.raises(InputError, match="finite"):
        error_of(np.array([1.0, np.nan]))
