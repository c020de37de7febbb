from __future__ import annotations

import pytest

from sonograph.train.log import Log, curves, draw, read_log

LINES = [
    {"step": 5, "kind": "train", "loss": 1.5, "lr": 0.1},
    {"step": 5, "kind": "valid", "loss": 1.7},
    {"step": 10, "kind": "train", "loss": 1.25, "lr": 0.1},
]


def test_written_read_and_cut(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    for line in LINES:
        log.write(line)
    with open(log.path, "a") as file:
        file.write('{"step": 15, "kind": "tr')  # a kill in the middle of a line
    assert read_log(log.path) == LINES
    log.cut(9)
    assert read_log(log.path) == LINES[:2]
    log.write(LINES[2])
    assert read_log(log.path) == LINES
    assert curves(LINES)["loss"] == {"train": ([5, 10], [1.5, 1.25]), "valid": ([5], [1.7])}


def test_curves_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    assert draw(tmp_path) is None
    log = Log(tmp_path / "log.jsonl")
    for line in LINES:
        log.write(line)
    path = draw(tmp_path)
    assert path is not None
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert path.stat().st_size > 5000
