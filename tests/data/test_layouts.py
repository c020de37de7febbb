"""Sets opened by path: published layouts with their splits, and a user's folders and tables."""

from __future__ import annotations

import json

import pytest

from sonograph.data.clips import Clips
from sonograph.errors import InputError


def test_esc50_layout(write_sound, tmp_path):
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        name = f"{fold}-100-A-0.wav"
        write_sound(f"audio/{name}")
        rows.append(f"{name},{fold},0,dog,True,100,A")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/esc50.csv").write_text("\n".join(rows))
    clips = Clips.open(tmp_path)
    assert [clip.split for clip in clips] == [f"fold{k}" for k in range(1, 6)]
    assert clips.classes("class") == ["dog"]
    assert [len(test) for _, test in clips.folds("class")] == [1] * 5


def test_real_esc10(shared):
    clips = Clips.open(shared / "data/esc10")
    assert len(clips) == 400
    assert round(clips.seconds / 60, 1) == 33.4
    pairs = clips.folds("class")
    for train, test in pairs:
        assert (len(train), len(test)) == (320, 80)
        assert len(test.classes("class")) == 10
        assert not {clip.group for clip in train} & {clip.group for clip in test}


def test_speech_commands_layout(write_sound, tmp_path):
    for word in ("yes", "no"):
        for speaker in ("aa", "bb", "cc"):
            write_sound(f"{word}/{speaker}_nohash_0.wav")
    write_sound("_background_noise_/hum.wav")
    (tmp_path / "validation_list.txt").write_text("yes/bb_nohash_0.wav\nno/bb_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("yes/cc_nohash_0.wav\nno/cc_nohash_0.wav\n")
    clips = Clips.open(tmp_path)
    assert {clip.id for clip in clips.split("valid")} == {
        "yes/bb_nohash_0.wav",
        "no/bb_nohash_0.wav",
    }
    assert [len(clips.split(name)) for name in ("train", "valid", "test")] == [2, 2, 2]
    assert clips.classes("word") == ["no", "yes"]
    assert clips[0].speaker == "aa"


def test_a_text_beside_a_sound_is_what_is_said_in_it(write_sound, tmp_path):
    write_sound("a/one.wav")
    write_sound("a/two.wav")
    (tmp_path / "a/one.txt").write_text("Good day.\n")
    clips = Clips.open(tmp_path)
    assert [clip.text for clip in clips] == ["Good day.", None]
    (tmp_path / "a/two.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no UTF-8"):
        Clips.open(tmp_path)


def test_librispeech_layout(write_sound, tmp_path):
    for part, speaker in (("train-clean-100", 1), ("dev-clean", 2), ("test-other", 3)):
        folder = f"LibriSpeech/{part}/{speaker}/7"
        write_sound(f"{folder}/{speaker}-7-0000.flac")
        (tmp_path / folder / f"{speaker}-7.trans.txt").write_text(f"{speaker}-7-0000 GOOD DAY\n")
    clips = Clips.open(tmp_path / "LibriSpeech")
    assert [clips.split(name)[0].speaker for name in ("train", "valid", "test")] == ["1", "2", "3"]
    assert clips[0].text == "GOOD DAY"
    assert len(Clips.open(tmp_path / "LibriSpeech/dev-clean")) == 1


def test_ljspeech_layout(write_sound, tmp_path):
    write_sound("wavs/LJ001-0001.wav")
    (tmp_path / "metadata.csv").write_text("LJ001-0001|In 1455|In fourteen fifty-five\n")
    (clip,) = Clips.open(tmp_path)
    assert clip.text == "In fourteen fifty-five"
    assert clip.group == "ljspeech/LJ001"
    (tmp_path / "metadata.csv").write_text("LJ001-0001\n")
    with pytest.raises(InputError, match="line 1"):
        Clips.open(tmp_path)


def test_any_folder(write_sound, tmp_path):
    for name in (
        "dogs/a.wav",
        "dogs/deep/b.flac",
        "cats/c.ogg",
        "d.mp3",
        "e.g722",
        ".hidden/f.wav",
    ):
        write_sound(name)
    (tmp_path / "dogs/notes.txt").write_text("no sound")
    clips = Clips.from_folder(tmp_path)
    assert {clip.id: clip.labels.get("class") for clip in clips} == {
        "dogs/a.wav": "dogs",
        "dogs/deep/b.flac": "dogs",
        "cats/c.ogg": "cats",
        "d.mp3": None,
        "e.g722": None,
    }


def test_a_folder_divided_already_is_taken_as_published(write_sound, tmp_path):
    for name in ("train/dogs/a.wav", "dev/dogs/a.wav", "test/cats/a.wav"):
        write_sound(name)
    clips = Clips.open(tmp_path)
    assert [len(clips.split(name)) for name in ("train", "valid", "test")] == [1, 1, 1]
    assert clips.classes("class") == ["cats", "dogs"]


def test_csv_with_parts_of_files_and_more_tasks(write_sound, tmp_path):
    write_sound("a.wav", 2.0)
    write_sound("b.wav", 1.0)
    (tmp_path / "list.csv").write_text(
        "path,start_s,duration_s,label,label:mood,speaker,split\n"
        "a.wav,0.5,1.0,dog,calm,ann,train\n"
        "a.wav,1.5,,cat,,ann,validation\n"
        "b.wav,,,cat,,,test\n"
    )
    clips = Clips.open(tmp_path / "list.csv")
    parts = [(clip.start_s, clip.duration_s) for clip in clips]
    assert parts == [(0.5, 1.0), (1.5, 0.5), (0.0, 1.0)]
    assert clips.tasks() == {"class": 3, "mood": 1}
    assert [clip.split for clip in clips] == ["train", "valid", "test"]
    assert [clip.group for clip in clips] == ["ann", "ann", "b.wav"]
    assert len(clips[1].read()) == 4000


def test_plain_jsonl_rows(write_sound, tmp_path):
    write_sound("a.wav")
    rows = [{"path": "a.wav", "id": "x", "labels": {"t": "u"}}, {"audio": "a.wav", "text": "hi"}]
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, rows)))
    clips = Clips.open(tmp_path / "l.jsonl")
    assert clips[0].labels == {"t": "u"}
    assert clips[1].text == "hi"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "path\nmissing.wav\n", "does not exist"),
        ("l.csv", "name\na.wav\n", "line 2 has no path"),
        ("l.csv", "path,start_s\na.wav,9\n", "does not lie in a.wav"),
        ("l.csv", "path,start_s\na.wav,-1\n", "line 2: start_s"),
        ("l.csv", "path,duration_s\na.wav,nan\n", "line 2: duration_s"),
        ("l.jsonl", '{"path": "a.wav"}\n{"pa', "line 2"),
        ("l.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("l.jsonl", '{"type": "MonoCut", "recording": {}}\n', "line 1 is no cut"),
        ("l.csv", "path\nl.csv\n", "l.csv"),
        ("l.csv", "path\nempty.wav\n", "holds no samples"),
    ],
)
def test_broken_tables_are_one_line_that_says_where(write_sound, tmp_path, name, text, said):
    write_sound("a.wav")
    write_sound("empty.wav", 0.0)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        Clips.open(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_nothing_to_open_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no sound files"):
        Clips.open(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        Clips.open(tmp_path / "nowhere")
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"no folder, \.csv"):
        Clips.open(tmp_path / "a.bin")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\xff")
    with pytest.raises(InputError, match="UTF-8"):
        Clips.open(tmp_path / "b.csv")
