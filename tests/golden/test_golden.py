"""Every golden case: what official code answered, against what ours answers on the same weights.

A case names its system. A file `<system>.py` beside this one knows how to load the case's weights
through the system's `from_published` and how to run it; a case without such a file is waiting.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import shared_folder

SLOW_S = 3.0  # of reference time; slower cases run under `make test-all`


def golden() -> ModuleType:
    """The reader of the cases, which lies beside them."""
    if "golden_cases" not in sys.modules:
        folder = shared_folder()
        assert folder is not None
        spec = importlib.util.spec_from_file_location(
            "golden_cases", folder / "golden" / "golden.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["golden_cases"] = module
        spec.loader.exec_module(module)
    return sys.modules["golden_cases"]


def head_of(path: Path) -> dict:
    with np.load(path, allow_pickle=False) as file:
        return json.loads(file["head"].tobytes())["about"]


def seconds_of(about: dict) -> float:
    """How long the reference took, its parts together where it told them apart."""
    told = about.get("seconds", 0)
    parts = told.values() if isinstance(told, dict) else [told]
    return float(sum(part for part in parts if isinstance(part, int | float)))


def runner_of(system: str) -> ModuleType | None:
    name = "tests.golden.runners." + "".join(c if c.isalnum() else "_" for c in system.lower())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def cases() -> list:
    folder = shared_folder()
    if folder is None:
        return []
    found = []
    for path in sorted((folder / "golden").glob("*.npz")):
        about = head_of(path)
        slow = seconds_of(about) > SLOW_S
        marks = [pytest.mark.slow] if slow and runner_of(about["system"]) else []
        found.append(pytest.param(path, id=path.stem, marks=marks))
    return found


def pass_mark(about: dict, output: str, want: np.ndarray) -> float:
    """Relative error allowed: ten times the reference's own float32 noise, at least 5e-6."""
    told = about.get("float32_vs_float64") or about.get("tolerance_float32_vs_float64") or {}
    noise = told.get(output, {}).get("relative", 0.0)
    return max(5e-6, 10 * noise)


@dataclass(frozen=True)
class Compared:
    """One output: how far ours lies from the reference, and how far it may."""

    output: str
    error: float
    allowed: float

    @property
    def equal(self) -> bool:
        return self.error <= self.allowed


def compared(path: Path) -> list[Compared] | None:
    """Every output of a case; None where its system is not built yet."""
    case = golden().read_case(path)
    runner = runner_of(case.about["system"])
    if runner is None:
        return None
    answers = runner.run(case, golden())
    assert set(answers) >= set(case.outputs), "an output of the case was not computed"
    found = []
    for name, want in case.outputs.items():
        got = np.asarray(answers[name])
        if want.dtype.kind in "iub":
            found.append(Compared(name, float(not np.array_equal(got, want)), 0.0))
            continue
        report = golden().compare(got.reshape(want.shape), want)
        limit = getattr(runner, "pass_mark", pass_mark)(case.about, name, want)
        found.append(Compared(name, report[getattr(runner, "MEASURE", "relative")], limit))
    return found


@pytest.mark.skipif(not cases(), reason="no golden cases beside the project")
@pytest.mark.parametrize("path", cases())
def test_equals_the_reference(path: Path) -> None:
    found = compared(path)
    if found is None:
        pytest.skip(f"waiting: {head_of(path)['system']} is not built yet")
    assert found
    assert [one for one in found if not one.equal] == []
