"""`sonograph transcribe-notes`: every format, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sonograph
from sonograph import weights
from sonograph.audio.io import write
from sonograph.cli import main
from sonograph.nn.notes import NoteConfig, Transcriber
from sonograph.outputs import Audio


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sounds, and a transcriber that hears C4 in whatever is not silence."""
    folder = tmp_path_factory.mktemp("notes")
    model = Transcriber(sonograph.build("mel-roformer-test"), NoteConfig())
    torch.nn.init.zeros_(model.head.out.weight)
    model.head.out.bias.data[model.notes.keys + 60 - model.notes.lowest_key] = 3.0
    weights.save_folder(folder / "model", model, {"name": "one-note"})
    sound = 0.1 * np.random.default_rng(0).standard_normal((2, 22_050)).astype(np.float32)
    sound[:, : 22_050 // 2] = 0
    write(folder / "a.wav", Audio(sound, 22_050))
    write(folder / "b.wav", Audio(0 * sound, 22_050))
    return folder


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["transcribe-notes", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_text_csv_and_json(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (room / "a.wav", room / "b.wav", "--model", room / "model")
    text = told(capsys, *asked)
    assert "0.49 -     1.0" in text
    assert "C4" in text
    assert text.splitlines()[-1] == "  no note is heard"
    found = json.loads(told(capsys, *asked, "--json"))
    assert [len(one["notes"]) for one in found] == [1, 0]
    assert found[0]["notes"][0]["pitch"] == 60
    assert found[0]["notes"][0]["onset_s"] == pytest.approx(0.5, abs=0.03)
    lines = told(capsys, *asked, "--format", "csv").splitlines()
    assert lines[0] == "file,onset_s,offset_s,pitch,key,score"
    assert lines[1].endswith("60,C4,0.9526")
    assert len(lines) == 2
    assert told(capsys, *asked, "--least", "0.99").count("no note is heard") == 2


def test_files_follow_their_suffix(room: Path, tmp_path, capsys) -> None:
    pytest.importorskip("mido")
    from sonograph.audio.midi import read_midi

    asked = (room / "a.wav", "--model", room / "model", "-o")
    assert "1 notes" in told(capsys, *asked, tmp_path / "a.mid")
    assert [note.pitch for note in read_midi(tmp_path / "a.mid")] == [60]
    told(capsys, *asked, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())[0]["notes"][0]["key"] == "C4"
    told(capsys, *asked, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.wav", "--model", "model", "-o", "a.xyz"), "which format"),
        (("a.wav", "--model", "model", "--format", "midi"), "-o FILE.mid"),
        (("a.wav", "b.wav", "--model", "model", "-o", "a.mid"), "of one sound"),
        (("a.wav", "--model", "model", "--least", "2"), "probability"),
        (("none.wav", "--model", "model"), "none.wav"),
        (("a.wav", "--model", "panns-mini"), "hears no notes"),
    ],
)
def test_what_is_refused(room: Path, monkeypatch, capsys, words, said: str) -> None:
    monkeypatch.chdir(room)
    assert main(["transcribe-notes", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(room.glob("a.m*"))
