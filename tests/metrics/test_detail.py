from __future__ import annotations

import numpy as np
import pytest

from sonograph.metrics.detail import against, detail

RAMP = np.add.outer(np.arange(20.0), np.arange(30.0))
NOISE = np.random.default_rng(0).standard_normal((80, 500))


def test_detail_is_that_of_fine_structure():
    assert detail(RAMP) == pytest.approx(0)
    assert detail(NOISE) == pytest.approx(20**0.5, rel=0.02)  # 16 + 4 variances


def test_a_recording_against_itself_and_against_what_is_blurred():
    assert against(NOISE, NOISE) == {"error": 0.0, "variance": 1.0, "detail": 1.0}
    blurred = (NOISE[:, 1:] + NOISE[:, :-1]) / 2
    found = against(blurred, NOISE[:, 1:])
    assert found["variance"] == pytest.approx(0.5, rel=0.05)
    assert found["detail"] < 0.8
    assert found["error"] > 0.5
