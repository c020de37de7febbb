"""`sonograph info` says what it knows in words."""

from __future__ import annotations

import pytest

from sonograph import cli, weights
from sonograph.verbs.info import LONGEST, _flat


def test_values_are_words() -> None:
    told = {
        "labels": ["dog", "rain"],
        "data": [{"source": "ufoai", "minutes": 22.3}, {"source": "gcin", "minutes": None}],
        "config": {"patch": [16, 16], "boxes": [[8, 8], [16, 16]], "slices": [], "mel": True},
        "many": list(range(LONGEST + 2)),
    }
    rows = _flat(told)
    assert rows[:3] == [
        ("labels", "dog, rain"),
        ("data", "source ufoai, minutes 22.3"),
        ("data", "source gcin, minutes none"),
    ]
    assert dict(rows[3:7]) == {
        "config.patch": "16, 16",
        "config.boxes": "(8, 8), (16, 16)",
        "config.slices": "none",
        "config.mel": "yes",
    }
    assert rows[7][1].endswith(f"... ({LONGEST + 2})")


@pytest.mark.parametrize("name", [*weights.bundled(), "ssast-base", "panns-cnn14"])
def test_nothing_raw_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", name]) == 0
    printed = capsys.readouterr().out
    assert not [line for line in printed.splitlines() if "['" in line or "{'" in line]
    assert "None" not in printed
