"""`sonograph separate` and `sonograph enhance` as they are typed."""

from __future__ import annotations

import io
import json
import struct
import sys

import numpy as np
import pytest

from sonograph import registry, weights
from sonograph.audio.io import info, read, write
from sonograph.cli import main
from sonograph.outputs import Audio

RATE = 16_000


def noise(seconds: float = 0.5, channels: int = 1, rate_hz: int = RATE) -> Audio:
    draw = np.random.default_rng(1)
    return Audio(0.1 * draw.standard_normal((channels, round(seconds * rate_hz))), rate_hz)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained separators of every kind."""
    folder = tmp_path_factory.mktemp("models")
    for name, preset in (
        ("song", "mel-roformer-test"),
        ("talkers", "mossformer2-test"),
        ("speech", "mossformer2-enhancer-test"),
        ("anything", "universal-test"),
    ):
        weights.save_folder(folder / name, registry.build(preset), {"name": name})
    return folder


@pytest.fixture
def song(tmp_path):
    write(tmp_path / "song.wav", noise(0.6, 2, 22_050))
    return tmp_path / "song.wav"


def told(capsys) -> list[dict]:
    return json.loads(capsys.readouterr().out)


def test_stems_of_a_song(models, song, tmp_path, capsys):
    words = ["separate", str(song), "--model", str(models / "song"), "-o", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    (found,) = told(capsys)
    assert list(found["stems"]) == ["vocals", "accompaniment"]
    parts = [read(path) for path in found["stems"].values()]
    whole = read(song)
    assert {(part.rate_hz, part.samples.shape) for part in parts} == {(22_050, (2, 13_230))}
    total = sum(part.samples for part in parts)
    np.testing.assert_allclose(total, whole.samples, atol=2e-4)  # of 16 bits each


def test_names_formats_and_choices(models, song, tmp_path):
    words = ["separate", str(song), "--model", str(models / "song"), "-o", str(tmp_path / "out")]
    assert main([*words, "--two-stems", "vocals", "--format", "flac", "--coding", "int24"]) == 0
    folder = tmp_path / "out" / "song"
    assert sorted(p.name for p in folder.iterdir()) == ["no_vocals.flac", "vocals.flac"]
    assert info(folder / "vocals.flac").subtype == "PCM_24"
    assert main([*words, "--stems", "vocals", "--name", "{track}-{stem}.{ext}"]) == 0
    assert (tmp_path / "out" / "song-vocals.wav").is_file()


def test_talkers_and_folders(models, song, tmp_path):
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "song.wav", noise())
    words = ["separate", str(tmp_path), "--model", str(models / "talkers")]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    made = sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("talker*"))
    assert len(made) == 4
    assert len({name.split("/")[0] for name in made}) == 2  # files of one name do not meet


def test_asked_by_name_and_by_example(models, song, tmp_path, capsys):
    words = ["separate", str(song), "--model", str(models / "anything"), "-o", str(tmp_path)]
    assert main([*words, "--query", "speech", "--query", "music", "--json"]) == 0
    assert list(told(capsys)[0]["stems"]) == ["speech", "music", "rest"]
    write(tmp_path / "bird.wav", noise())
    assert main([*words, "--like", str(tmp_path / "bird.wav"), "--json"]) == 0
    assert list(told(capsys)[0]["stems"]) == ["like bird", "rest"]
    assert main([*words, "--query", "no such thing"]) == 2
    assert "Known are: speech" in capsys.readouterr().err
    assert main([*words, "--auto", "--json"]) == 0
    assert told(capsys)[0]["sound"] == str(song)


def test_what_is_refused(models, song, tmp_path, capsys):
    words = ["separate", str(song), "-o", str(tmp_path / "out")]
    for more, message in (
        (["--model", str(models / "anything")], "--query, --like or --auto"),
        (["--model", str(models / "song"), "--query", "dog"], "fixed stems"),
        (["--model", str(models / "song"), "--stems", "vocal"], "Did you mean 'vocals'"),
        (["--model", str(models / "song"), "--name", "{track}.wav"], "needs {stem}"),
        (["--model", str(models / "song"), "--name", "{what}.wav"], "are known"),
        (["--model", str(models / "talkers"), "--shifts", "2"], "exchangeable"),
        (["--model", "panns-mini"], "does not separate"),
    ):
        assert main([*words, *more]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.wav"))


def test_speech_of_a_file(models, song, tmp_path, capsys):
    through = ["--model", str(models / "speech")]
    assert main(["enhance", str(song), "-o", str(tmp_path / "clear.flac"), *through]) == 0
    assert info(tmp_path / "clear.flac").frames == 13_230
    whole, target = read(song).samples, tmp_path / "kept.wav"
    assert main(["enhance", str(song), "-o", str(target), *through, "--keep", "1"]) == 0
    np.testing.assert_allclose(read(target).samples, whole, atol=1e-4)  # nothing was taken away
    assert main(["enhance", str(song), "--model", str(models / "talkers")]) == 2
    assert "no speech" in capsys.readouterr().err


class Stream:
    """Standard input or output, of bytes."""

    def __init__(self, content: bytes = b""):
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize("header", [True, False])
def test_speech_of_a_pipe(models, header, monkeypatch, capsys):
    sound = noise(2.2)
    samples = (sound.samples[0] * 32767).astype("<i2").tobytes()
    head = b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    head += b"data" + struct.pack("<I", 0xFFFFFFFF)
    out = Stream()
    monkeypatch.setattr(sys, "stdin", Stream(head + samples if header else samples))
    monkeypatch.setattr(sys, "stdout", out)
    words = ["enhance", "-", "-o", "-", "--model", str(models / "speech"), "--window", "0.5"]
    monkeypatch.setattr(out, "flush", lambda: None, raising=False)
    assert main(words if header else [*words, "--rate", str(RATE)]) == 0
    assert len(out.buffer.getvalue()) == len(samples)
    assert "latency 0.5" in capsys.readouterr().err
