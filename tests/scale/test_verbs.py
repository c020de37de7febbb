"""The verbs over a manifest give what they give for files one by one."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile

from sonograph.audio.io import read
from sonograph.cli import main
from sonograph.outputs import Embedding
from sonograph.scale.places import Place
from tests.e2e.commands import RATE, furnish, noise


@pytest.fixture
def room(tmp_path, monkeypatch) -> Path:
    """Three short sounds, a stereo one in a folder, and one that is none."""
    furnish(tmp_path)
    for name in ("3.wav", "4.wav", "labels.csv"):
        (tmp_path / name).unlink()
    (tmp_path / "more").mkdir()
    soundfile.write(tmp_path / "more/wide.flac", np.stack([noise(5), noise(6)], 1), RATE)
    (tmp_path / "bad.wav").write_text("no sound")
    rows = [f"{k}.wav" for k in range(3)] + ["more/wide.flac", "bad.wav"]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    fsspec.filesystem("memory").store.clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path


GOOD = ["0.wav", "1.wav", "2.wav", "more/wide.flac"]


def rows_of(url: str) -> list[dict]:
    return [json.loads(line) for line in (Place(url).read("results.jsonl") or b"").splitlines()]


def test_tag(room: Path, capsys) -> None:
    assert main(["tag", *GOOD, "--json"]) == 0
    single = json.loads(capsys.readouterr().out)
    assert main(["tag", "--manifest", "all.jsonl", "-o", "memory://tags", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["items"], told["failed"], told["new"]) == (5, 1, 5)
    found = rows_of("memory://tags")
    assert [row["name"] for row in found] == ["0", "1", "2", "wide", "bad"]
    assert "is not a sound file" in found[4]["error"]
    for one, row in zip(single, found):
        assert str(room / one["name"]) == row["sound"]
        assert {k: row[k] for k in ("known", "scores", "spans")} == {
            k: one[k] for k in ("known", "scores", "spans")
        }
    assert main(["tag", "--manifest", "all.jsonl", "-o", "memory://tags"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("0 of 5 sounds heard\n")
    assert "1 could not be used, their rows say why" in said


@pytest.mark.slow
def test_embed_in_a_pool(room: Path, capsys) -> None:
    """With a process of its own; the merged vectors open as those of files do."""
    assert main(["embed", *GOOD, "-o", "single.npz"]) == 0
    words = ["embed", "--manifest", "all.jsonl", "-o", "many", "--jobs", "1", "--shard-size", "2"]
    assert main(words) == 1
    single, many = Embedding.open("single.npz"), Embedding.open("many/vectors.npz")
    assert many.names == tuple(str(room / name) for name in GOOD)
    assert many.model == "ssast-mini"
    assert np.abs(single.values - many.values).max() < 1e-5
    capsys.readouterr()
    assert main(["search", "0.wav", "many/vectors.npz", "--json"]) == 0
    matches = json.loads(capsys.readouterr().out)["matches"]
    assert len(matches) == 3


def test_enhance(room: Path) -> None:
    assert main(["enhance", "0.wav", "more/wide.flac", "-o", "single", "--keep", "0.1"]) == 0
    words = ["--manifest", "all.jsonl", "-o", "memory://clear", "--format", "wav", "--keep", "0.1"]
    assert main(["enhance", *words]) == 1
    place, found = Place("memory://clear"), rows_of("memory://clear")
    assert found[3]["output"] == "sounds/wide.wav"
    for row in found[:4]:
        assert (place.read(row["output"]) or b"")[:4] == b"RIFF"
        assert row["rate_hz"] == RATE
    assert "output" not in found[4]
    for name in ("0", "wide"):
        assert place.read(f"sounds/{name}.wav") == Path(f"single/{name}.wav").read_bytes()


def test_separate(room: Path) -> None:
    (room / "two.csv").write_text("path,id\n0.wav,song/one\nmore/wide.flac,../b\n")
    words = ["separate", "--manifest", "two.csv", "-o", "memory://parts", "--format", "flac"]
    assert main(words) == 0
    found, place = rows_of("memory://parts"), Place("memory://parts")
    assert [row["name"] for row in found] == ["song/one", "b"]
    for row, source in zip(found, GOOD[::3]):
        assert row["stems"]
        for stem, path in row["stems"].items():
            assert path == f"sounds/{row['name']}/{stem}.flac"
            (room / "part.flac").write_bytes(place.read(path) or b"")
            whole, part = read(source), read(room / "part.flac")
            assert part.samples.shape == whole.samples.shape


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("tag", "which sounds?"),
        ("embed", "which sounds?"),
        ("enhance", "which sounds?"),
        ("separate", "which sounds?"),
        ("tag --manifest all.jsonl", "where to? give -o FOLDER"),
        ("tag 0.wav --manifest all.jsonl -o out", "0.wav is too much"),
        ("tag --manifest all.jsonl -o out --format csv", "--format means nothing"),
        ("tag --manifest all.jsonl -o out --top 3", "--top means nothing"),
        ("tag --manifest gone.jsonl -o out", "gone.jsonl does not exist"),
        ("tag --manifest all.jsonl -o memory://x --model ssast-mini", "has no labels"),
        ("tag --manifest all.jsonl -o memory://x --model ssast-mni", "no model 'ssast-mni'"),
        ("tag --manifest all.jsonl -o out --engine spark", "Expected one of ('local', 'ray')"),
        ("tag --manifset all.jsonl -o out", "Did you mean '--manifest'"),
        ("enhance --manifest all.jsonl -o - ", "where to? give -o FOLDER"),
        ("separate --manifest all.jsonl -o memory://x --stems kazoo", "no stem 'kazoo'"),
        ("separate --manifest all.jsonl -o memory://x --name {stem}.wav", "needs {track}"),
        ("embed --manifest all.jsonl -o out --jobs -2", "give 1 or more"),
    ],
)
def test_what_is_wrong_is_one_line(room: Path, capsys, words: str, said: str) -> None:
    before = sorted(room.rglob("*"))
    assert main(words.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len([line for line in told.err.splitlines() if line.startswith("sonograph:")]) == 1
    assert said in told.err
    assert sorted(room.rglob("*")) == before
