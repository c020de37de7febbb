"""Records: written whole, read strictly, refused with the reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sonograph import records
from sonograph.errors import InputError
from sonograph.records import Figure, Record

CLAIM = Record(
    system="ssast",
    kind="claim",
    sentence="Pre-training helps.",
    rule="the interval of the paired difference lies above 0",
    verdict="inconclusive",
    measured=(Figure("difference", 0.1, -0.05, 0.25), Figure("clips", 12)),
    paper=(Figure("lift", 60.9, unit="%"),),
    arms=("pre-trained", "from scratch"),
    data=("mini",),
    seeds=(0, 1, 2),
    details={"tasks": {"effect": [0.5, 0.6]}},
    machine="a machine",
    versions={"torch": "2.13.0"},
    commit="0123456789ab",
    date="2026-11-22",
    seconds=12.5,
)


def test_written_and_read_again(tmp_path: Path) -> None:
    path = records.write(CLAIM, "claim-cpu", tmp_path)
    assert path == tmp_path / "ssast" / "claim-cpu.json"
    assert records.read(path) == CLAIM
    speed = dataclasses.replace(CLAIM, kind="benchmark", system="sonograph")
    assert records.write(speed, "features", tmp_path) == tmp_path / "benchmarks" / "features.json"
    assert records.read_all(tmp_path) == [speed, CLAIM]
    assert records.of([speed, CLAIM], "ssast", "claim") == [CLAIM]


def test_stamped_says_when_and_where() -> None:
    bare = dataclasses.replace(CLAIM, machine="", commit="", date="", versions={})
    with pytest.raises(InputError, match="'machine' is empty"):
        records.check(bare, "here")
    full = records.stamped(bare, 3.21)
    records.check(full, "here")
    assert full.seconds == 3.2
    assert "cores" in full.machine
    assert {"sonograph", "python", "torch"} <= set(full.versions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "proven"}, "verdict is one of shown"),
        ({"format": 99}, "of format 99"),
        ({"veredict": "shown"}, "no field 'veredict'. Did you mean 'verdict'"),
        ({"measured": []}, "nothing was measured"),
        ({"seeds": [1, 1, 1]}, "at least three seeds"),
        ({"rule": " "}, "'rule' is empty"),
        ({"date": "22.11.2026"}, "give YYYY-MM-DD"),
        ({"system": "../x"}, "no name of a system"),
        ({"measured": [{"name": "n", "value": float("nan")}]}, "'n' is not finite"),
        ({"measured": [{"name": "n", "value": 2.0, "low": 3.0, "high": 4.0}]}, "its own interval"),
    ],
)
def test_refused_with_the_reason(tmp_path: Path, change: dict, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**CLAIM.to_dict(), **change}))
    with pytest.raises(InputError, match=r"bad\.json") as error:
        records.read(path)
    assert words in str(error.value)


def test_files_that_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for content in (b"", b"{", b"[]", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"record\.json"):
            records.read(path)


def test_a_bad_record_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        records.write(dataclasses.replace(CLAIM, seeds=(1,)), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_committed_records_are_read() -> None:
    for record in records.read_all():
        assert record.date
