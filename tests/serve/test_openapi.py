"""Schemathesis drives every route by what /openapi.json says, with what fits and what does not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
pytestmark = pytest.mark.slow

EXAMPLES = 15  # a route and a mode
# No schema can say which bytes are a sound, or how many sounds an action takes.
NOT_ASKED = [checks.positive_data_acceptance]
HEADERS = {"Host": "127.0.0.1"}


@pytest.fixture
def served(house: Any, tmp_path: Path) -> Any:
    from sonograph.serve.app import app
    from sonograph.serve.settings import Settings

    served = app(Settings(tmp_path, rate=0.0, queue=4), house)
    yield served
    assert served.state.service.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_every_route_does_as_it_says(served: Any, mode: str) -> None:
    """Statuses, types and shapes of answers are those that are told; none is a fault (5xx)."""
    config = schemathesis.Config.from_dict({"base-url": "http://127.0.0.1"})
    schema = schemathesis.openapi.from_asgi("/openapi.json", served, config=config, headers=HEADERS)
    driven = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        kind = schemathesis.GenerationMode[mode]
        cases = operation.as_strategy(generation_mode=kind)

        @given(case=cases)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def drive(case: Any) -> None:
            nonlocal driven
            driven += 1
            case.call_and_validate(headers=HEADERS, excluded_checks=NOT_ASKED)

        with contextlib.suppress(Unsatisfiable):  # nothing can be wrong about some routes
            drive()
    assert driven > 50
