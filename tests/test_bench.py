"""The benchmarks' rows, their goals, and the verb that runs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import timing
from sonograph import cli, records
from tests.conftest import ROOT

MAKESHIFT = '''"""A makeshift comparison."""

SYSTEM = "sonograph"


def main():
    return [
        {"name": "twice", "ours_s": 1.0, "theirs_s": 2.0, "ratio": 2.0, "peer": "p", "at_least": 1},
        {"name": "memory", "value": 3.0, "unit": "GB", "at_most": LIMIT},
    ]
'''


@pytest.fixture
def makeshift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one quick benchmark, of which the second goal may be set."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "makeshift.py").write_text(MAKESHIFT.replace("LIMIT", "4.0"))
    module = ModuleType("benchmarks.makeshift", "A makeshift comparison.")
    exec(MAKESHIFT.replace("LIMIT", "4.0"), module.__dict__)
    monkeypatch.setitem(sys.modules, "benchmarks.makeshift", module)
    monkeypatch.setattr(records, "checkout", lambda: tmp_path)
    return tmp_path


def test_goals() -> None:
    row = timing.pair("forward", 1.0, 0.9, "peer", 1.0)
    assert row["ratio"] == pytest.approx(0.9)
    assert timing.reached(row) is False
    assert timing.goal(row) == "at least 1"
    assert timing.reached(timing.figure("memory", 1.4, "GB") | {"at_most": 1.5}) is True
    assert timing.reached(timing.figure("memory", 1.4, "GB")) is None


def test_sides_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are called to warm up and to see how often a turn calls them; then turn by turn."""
    monkeypatch.setattr(timing, "PAUSE_S", 0.0)
    monkeypatch.setattr(timing, "TURN_S", 1e-9)
    turns: list[str] = []
    timing.alternately(lambda: turns.append("a"), lambda: turns.append("b"), repeats=3)
    assert "".join(turns) == "aabb" + "abbaab"


def test_a_short_turn_calls_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAUSE_S", 0.0)
    monkeypatch.setattr(timing, "TURN_S", 0.02)
    turns: list[str] = []
    timing.alternately(lambda: turns.append("a"), lambda: turns.append("b"), repeats=1)
    assert turns.count("a") > 20


def test_a_fine_ratio_is_that_of_turns_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours takes 1, theirs 1.1, while the machine gets slower and slower; twice something else."""
    slower = [1.1**k for k in range(20)]
    turns = [(s, 1.1 * s) for s in slower[:18]] + [(1.0, 9.0), (9.0, 1.0)]
    monkeypatch.setattr(timing, "_turns", lambda *_: turns)
    row = timing.finely("forward", print, print, 20, "peer", at_least=1.0)
    assert [row[name] for name in ("low", "ratio", "high")] == pytest.approx([1.1, 1.1, 1.1])
    assert timing.reached(row) is True
    assert timing.reached(row | {"at_least": 1.2}) is False


def test_rows_and_exit_code(makeshift: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--json"]) == 0
    (rows,) = json.loads(capsys.readouterr().out).values()
    assert [row["reached"] for row in rows] == [True, True]
    assert not (makeshift / "records").exists()


def test_a_goal_that_is_missed_is_said(
    makeshift: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["benchmarks.makeshift"]
    row = timing.figure("memory", 3.0, "GB") | {"at_most": 1.5}
    monkeypatch.setattr(module, "main", lambda: [row], raising=False)
    assert cli.main(["bench", "makeshift", "--record"]) == 1
    assert "NOT reached" in capsys.readouterr().out
    (record,) = records.read_all(makeshift / "records")
    assert record.verdict == "not shown"
    assert record.measured[0].goal == "at most 1.5"


def test_a_wrong_name_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "featurs"]) == 2
    assert "'features'" in capsys.readouterr().err


def test_an_installed_package_says_where_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(records, "checkout", lambda: None)
    assert cli.main(["bench"]) == 2
    assert "clone the repository" in capsys.readouterr().err


def test_every_file_can_be_run_by_name() -> None:
    from sonograph.verbs.bench import _known

    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert set(_known(ROOT / "benchmarks")) == files - {"__init__", "timing"}
