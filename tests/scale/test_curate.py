"""`sonograph curate` on a collection in which everything is known: what is kept and why the rest
is not.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonograph.cli import main
from sonograph.data.clips import Clips
from sonograph.scale.places import Place
from sonograph.verbs import curate

RATE = 16_000
VOICES = 30


def voice(number: int, seconds: float = 1.5) -> np.ndarray:
    """A sound like no other: gliding partials with a rhythm of its own, over a little noise."""
    draw = np.random.default_rng(number)
    time_s = np.arange(round(seconds * RATE)) / RATE
    base = draw.uniform(120, 400) * (1 + 0.15 * np.sin(2 * np.pi * draw.uniform(0.5, 3) * time_s))
    phase = 2 * np.pi * np.cumsum(base) / RATE
    sound = sum(draw.uniform(0.2, 1) / k * np.sin(k * phase) for k in range(1, 12))
    cells = np.linspace(0, seconds, 14)
    sound *= np.interp(time_s, cells, draw.uniform(0.02, 1, len(cells)))
    sound += 0.003 * draw.standard_normal(len(time_s))
    return 0.4 * sound / np.abs(sound).max()


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder with a manifest, and for each file the reason it has to go, "" where it stays."""
    folder = tmp_path_factory.mktemp("collection")
    truth: dict[str, str] = {}

    def add(name: str, samples: np.ndarray, reason: str = "", **more: object) -> None:
        soundfile.write(folder / name, samples, RATE, **more)
        truth[name] = reason

    for k in range(VOICES):
        add(f"voice{k}.wav", voice(k))
    add("copy.flac", soundfile.read(folder / "voice0.wav")[0], "duplicate")
    for k in range(1, 11):
        name = f"again{k}.{'mp3' if k % 2 else 'ogg'}"
        add(name, voice(k) * 10 ** (-(k % 4) * 4 / 20), "near duplicate")
    for k in range(11, 15):
        shifted = np.concatenate((np.zeros(160), 0.3 * voice(k)))  # 10 ms later
        add(f"late{k}.wav", shifted, "near duplicate")
    for k in range(6):
        add(f"clipped{k}.wav", 0.7 * np.clip(6 * voice(100 + k), -1, 1), "clipped")
    add("overshoot.ogg", 0.99 * np.clip(30 * voice(120), -1, 1), "clipped")
    add("digital.wav", np.zeros(RATE), "silent")
    add("hiss.wav", 2e-4 * np.random.default_rng(0).standard_normal(RATE), "silent")
    add("offset.wav", 0.3 + 0.5 * voice(130), "offset")
    add("click.wav", voice(131, 0.05), "too short")
    add("noise.wav", 0.2 * np.random.default_rng(1).standard_normal(RATE), "outlier")
    (folder / "text.wav").write_text("no sound")
    truth |= {"text.wav": "unreadable", "gone.wav": "unreadable"}
    rows = [
        {"path": name, "language": "en" if k % 3 else "fr", "note": k}
        for k, name in enumerate(truth)
    ]
    (folder / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder, truth


KEPT = "memory://curated/kept.jsonl"  # measured in this process, which has torch already


def content(name: str) -> bytes:
    return Place("memory://curated").read(name) or b""


def read(name: str) -> list[dict]:
    return [json.loads(line) for line in content(name).splitlines()]


@pytest.fixture(scope="module")
def curated(collection):
    """Curated once; what follows may use the measures again."""
    folder, truth = collection
    assert main(["curate", str(folder / "all.jsonl"), "-o", KEPT]) == 0
    return folder, truth


def test_everything_that_has_to_go_goes_and_nothing_else(curated) -> None:
    _, truth = curated
    kept, dropped = read("kept.jsonl"), read("kept.dropped.jsonl")
    told = {Path(row["path"]).name: row["reason"] for row in dropped}
    told |= {Path(row["path"]).name: "" for row in kept}
    assert len(kept) + len(dropped) == len(truth) == len(told)
    for reason in set(truth.values()):
        have = {name for name in truth if told[name] == reason}
        want = {name for name in truth if truth[name] == reason}
        precision = len(have & want) / max(1, len(have))
        recall = len(have & want) / len(want)
        assert (precision, recall) == (1.0, 1.0), (reason, have ^ want)


def test_rows_keep_what_they_had_and_say_why(curated, tmp_path) -> None:
    folder, _ = curated
    first = read("kept.jsonl")[0]
    assert first == {"path": str(folder / "voice0.wav"), "language": "fr", "note": 0}
    dropped = {Path(row["path"]).name: row for row in read("kept.dropped.jsonl")}
    assert dropped["copy.flac"]["detail"] == f"of {folder}/voice0.wav"
    assert dropped["again3.mp3"]["detail"].startswith(f"of {folder}/voice3.wav, correlation ")
    assert "flat tops" in dropped["clipped0.wav"]["detail"]
    assert dropped["overshoot.ogg"]["detail"].startswith("true peak +")
    assert "does not exist" in dropped["gone.wav"]["detail"]
    report = json.loads(content("kept.report.json"))
    assert report["sounds"] == report["kept"] + sum(report["dropped"].values())
    assert report["dropped"]["near duplicate"] == 14
    (tmp_path / "kept.jsonl").write_bytes(content("kept.jsonl"))
    assert len(Clips.open(tmp_path / "kept.jsonl")) == VOICES


def test_other_rules_hear_nothing_again(curated, capsys, monkeypatch) -> None:
    folder, _ = curated
    monkeypatch.setattr("sonograph.scale.run._run", None)
    words = ["curate", str(folder / "all.jsonl"), "-o", KEPT, "--json"]
    before = [content(n) for n in ("kept.jsonl", "kept.dropped.jsonl")]
    assert main(words) == 0
    assert before == [content(n) for n in ("kept.jsonl", "kept.dropped.jsonl")]
    capsys.readouterr()
    assert main([*words, "--balance", "language", "--most", "5", "--outlier", "1e9"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [value["kept"] for value in report["balance"].values()] == [5, 5]
    assert "outlier" not in report["dropped"]
    assert main([*words, "--balance", "language", "--share", "0.5"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["balance"]["en"]["kept"] == report["balance"]["fr"]["kept"] > 5
    assert main(words) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("gone.jsonl", "does not exist"),
        ("all.jsonl -o kept.txt", "must end in .jsonl"),
        ("all.jsonl --most 3", "go with --balance"),
        ("all.jsonl --balance language", "needs --most"),
        ("all.jsonl --balance langauge --most 3", "Did you mean 'language'"),
        ("all.jsonl --share 2", "give a share"),
        ("all.jsonl --jbos 2", "Did you mean '--jobs'"),
        ("all.jsonl --shard-size 0", "--shard-size"),
        ("all.jsonl --jobs -1", "give 1 or more"),
    ],
)
def test_what_is_wrong_is_one_line(curated, monkeypatch, capsys, words: str, said: str) -> None:
    folder, _ = curated
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert main(["curate", *words.split()]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_the_options_of_the_command_are_the_rules() -> None:
    """Two lists of the same defaults: what the command shows, and what a program gets."""
    from sonograph.scale.choose import Rules

    args = {field.name: field.default for field in dataclasses.fields(curate.Args)}
    assert {f.name: args[f.name] for f in dataclasses.fields(Rules)} == dataclasses.asdict(Rules())
