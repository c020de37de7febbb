"""Notes to MIDI and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from sonograph.audio.midi import read_midi, write_midi
from sonograph.errors import InputError
from sonograph.outputs import Note, Notes

mido = pytest.importorskip("mido")


def test_notes_come_back(tmp_path: Path) -> None:
    notes = [Note(0.0, 0.5, 60, 1.0), Note(0.5, 0.7501, 60, 0.5), Note(0.75, 2.0, 72.3, 0.0)]
    back = read_midi(write_midi(tmp_path / "a.mid", notes, program=52))
    assert [note.pitch for note in back] == [60, 60, 72]
    for found, given in zip(back, notes):
        assert found.onset_s == pytest.approx(given.onset_s, abs=6e-4)
        assert found.offset_s == pytest.approx(given.offset_s, abs=6e-4)
        assert found.score == pytest.approx(given.score, abs=4e-3)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mid"]
    assert read_midi(write_midi(tmp_path / "b.mid", [])) == []
    short = read_midi(write_midi(tmp_path / "c.mid", [Note(1, 1, 60)], beats_a_minute=60))[0]
    assert short.offset_s - short.onset_s == pytest.approx(1 / 480)


def test_tempo_changes_drums_and_keys_that_are_never_let_go(tmp_path: Path) -> None:
    slow, fast = mido.bpm2tempo(60), mido.bpm2tempo(120)
    tracks = [
        mido.MidiTrack(
            [
                mido.MetaMessage("set_tempo", tempo=slow),
                mido.MetaMessage("set_tempo", tempo=fast, time=100),
            ]
        ),
        mido.MidiTrack(
            [
                mido.Message("note_on", note=60, velocity=127),
                mido.Message("note_on", channel=9, note=35, velocity=127),
                mido.Message("note_on", note=60, velocity=64, time=100),
                mido.Message("note_on", note=60, velocity=0, time=100),
                mido.Message("note_on", note=64, velocity=127, channel=3),
                mido.Message("note_on", channel=9, note=36, velocity=127, time=100),
            ]
        ),
    ]
    path = tmp_path / "a.mid"
    mido.MidiFile(type=1, ticks_per_beat=100, tracks=tracks).save(path)
    found = read_midi(path)
    assert [(n.onset_s, n.offset_s, n.pitch) for n in found] == [
        (0, 1, 60),
        (1, 1.5, 60),
        (1.5, 2.0, 64),
    ]
    assert [n.score for n in found] == [1, 0.5, 1]


def test_what_is_no_midi_is_told(tmp_path: Path) -> None:
    whole = write_midi(tmp_path / "a.mid", [Note(0, 1, 60), Note(1, 2, 62)]).read_bytes()
    broken = tmp_path / "b.mid"
    for content in (b"", b"RIFF" + bytes(40), whole[:20], whole[:-9]):
        broken.write_bytes(content)
        with pytest.raises(InputError, match="no whole MIDI file"):
            read_midi(broken)
    with pytest.raises(InputError, match="cannot be read"):
        read_midi(tmp_path / "none.mid")
    for note in (Note(0, 1, 128), Note(-1, 1, 60), Note(2, 1, 60)):
        with pytest.raises(InputError, match="cannot be written"):
            write_midi(broken, [note])
    with pytest.raises(InputError, match="tempo"):
        write_midi(broken, [], beats_a_minute=0)
    with pytest.raises(InputError, match="program"):
        write_midi(broken, [], program=128)


def test_keys_have_names() -> None:
    assert [Note(0, 1, p).name for p in (21, 60, 69.4, 61)] == ["A0", "C4", "A4", "C#4"]
    told = Notes("a", (Note(0, 1, 60),)).to_json()
    assert told == {
        "name": "a",
        "notes": [{"onset_s": 0, "offset_s": 1, "pitch": 60, "score": 1.0, "key": "C4"}],
    }
