"""Every sound exactly once: with marks, after a kill, and where sounds or outputs are broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import fsspec
import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.outputs import Embedding
from sonograph.scale.places import PARTIAL, Place
from sonograph.scale.run import map_shards
from tests.conftest import ROOT
from tests.e2e.commands import STOPPED, environment, start
from tests.scale.works import Listening, sounds


@pytest.fixture
def shelf(tmp_path):
    """Eleven sounds and the result of a run in this process, which others have to equal."""
    items = sounds(tmp_path / "sounds", 11)
    fsspec.filesystem("memory").store.clear()
    map_shards(Listening(), items, "memory://straight", shard_size=3)
    return items, Place("memory://straight")


def rows_of(output: str) -> list[dict]:
    return [json.loads(line) for line in (Place(output).read("results.jsonl") or b"").splitlines()]


def same(output: str, straight: Place) -> bool:
    """Whether a result equals that of a straight run, to the bit."""
    place = Place(output)
    names = [
        "results.jsonl",
        "vectors.npz",
        *(f"sounds/{name}" for name in straight.sizes("sounds")),
    ]
    assert len(names) > 2
    assert place.sizes("sounds").keys() == straight.sizes("sounds").keys()
    left = [name for name in os.listdir(output) if name.startswith(PARTIAL)]
    return left == [] and all(_bare(place.read(n)) == _bare(straight.read(n)) for n in names)


def _bare(content: bytes | None) -> object:
    """The content; of an archive what it holds, since it also tells the time."""
    import io

    assert content is not None
    if content[:2] != b"PK":
        return content
    with np.load(io.BytesIO(content)) as file:
        return {name: file[name].tobytes() for name in file.files}


def test_a_pool_gives_what_one_process_gives(shelf, tmp_path) -> None:
    items, straight = shelf
    told: list[float] = []
    done = map_shards(
        Listening(str(tmp_path / "heard")), items, str(tmp_path / "out"), jobs=2, shard_size=3,
        progress=lambda done, total, note="": told.append(done),
    )  # fmt: skip
    assert (done.items, done.failed, done.new, done.shards) == (11, 0, 11, 4)
    assert done.files == ("results.jsonl", "vectors.npz")
    assert same(str(tmp_path / "out"), straight)
    assert told == sorted(told)
    assert told[-1] == 11
    lines = [line.split() for line in (tmp_path / "heard").read_text().splitlines()]
    assert sorted(int(number) for number, _ in lines) == list(range(11))
    assert str(os.getpid()) not in {process for _, process in lines}
    index = Embedding.open(tmp_path / "out/vectors.npz")
    assert index.names == tuple(item.sound for item in items)
    assert index.values[:, 0].tolist() == [400 + 10 * k for k in range(11)]


def test_what_is_marked_is_not_done_again(shelf, tmp_path) -> None:
    items, straight = shelf
    heard, out = tmp_path / "heard", tmp_path / "out"

    def again() -> list[int]:
        heard.write_text("")
        map_shards(Listening(str(heard)), items, f"file://{out}", shard_size=3, jobs=1)
        return [int(line.split()[0]) for line in heard.read_text().splitlines()]

    assert again() == list(range(11))
    assert again() == []
    (out / "marks/000001.json").unlink()
    assert again() == [3, 4, 5]
    (out / "shards/000003.jsonl").write_text("{}")
    (out / "marks/000000.json").write_text("nonsense")
    assert again() == [0, 1, 2, 9, 10]
    (out / "results.jsonl").unlink()
    assert again() == []
    assert same(str(out), straight)


def test_everything_in_memory() -> None:
    system = fsspec.filesystem("memory")
    system.store.clear()
    content = "0123"
    import io

    import soundfile

    for k in content:
        file = io.BytesIO()
        soundfile.write(file, np.full(100 + int(k), 0.25), 8000, format="WAV")
        system.pipe_file(f"/in/{k}.wav", file.getvalue())
    system.pipe_file("/in/bad.wav", b"no sound at all")
    rows = [f"{k}.wav" for k in content] + ["bad.wav", "gone.wav"]
    system.pipe_file("/in/m.jsonl", "\n".join(map(json.dumps, rows)).encode())
    done = map_shards(Listening(), "memory://in/m.jsonl", "memory://out", jobs=2, shard_size=4)
    assert (done.items, done.failed) == (6, 2)
    found = rows_of("memory://out")
    assert [row.get("frames") for row in found] == [100, 101, 102, 103, None, None]
    assert found[4]["error"].startswith("memory://in/bad.wav is not a sound file")
    assert found[5]["error"] == "memory://in/gone.wav does not exist"
    assert Place("memory://out").read("sounds/3.txt") == b"0.250000000"
    with pytest.raises(InputError, match="use the local engine"):
        map_shards(Listening(), "memory://in/m.jsonl", "memory://ray", "ray")


def test_a_part_of_a_sound_is_heard_alone(tmp_path) -> None:
    sounds(tmp_path / "sounds", 1)
    rows = [{"path": "sounds/00.wav", "start_s": 0.01, "duration_s": 0.02}, "sounds/00.wav"]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    map_shards(Listening(), str(tmp_path / "m.jsonl"), "memory://parts")
    assert [row["frames"] for row in rows_of("memory://parts")] == [160, 400]


def test_a_worker_that_dies_is_replaced(shelf, tmp_path) -> None:
    items, straight = shelf
    work = Listening(str(tmp_path / "heard"), deadly="04", once=str(tmp_path / "died"))
    done = map_shards(work, items, str(tmp_path / "out"), jobs=2, shard_size=3)
    assert done.failed == 0
    assert same(str(tmp_path / "out"), straight)
    count = Counter(line.split()[0] for line in (tmp_path / "heard").read_text().splitlines())
    assert count["4"] == count["3"] == 2  # its shard was done again, and no other
    assert sum(count.values()) == 13


def test_a_sound_that_always_kills_is_a_row_after_two_tries(shelf, tmp_path) -> None:
    items, straight = shelf
    work = Listening(str(tmp_path / "heard"), deadly="04")
    done = map_shards(work, items, str(tmp_path / "out"), jobs=2, shard_size=3)
    assert (done.items, done.failed) == (11, 1)
    found, whole = rows_of(str(tmp_path / "out")), rows_of(straight.url)
    assert "ended 2 workers" in found[4].pop("error")
    assert [row for row in found if row["number"] != 4] == [r for r in whole if r["number"] != 4]
    assert (tmp_path / "heard").read_text().split("\n").count("") == 1
    heard = [line.split()[0] for line in (tmp_path / "heard").read_text().splitlines()]
    assert heard.count("4") == 2


def test_a_work_that_cannot_begin_stops_everything(shelf, tmp_path) -> None:
    items, _ = shelf
    with pytest.raises(InputError, match="no such model"):
        map_shards(Listening(deadly="refused"), items, str(tmp_path / "out"), jobs=2)
    assert sorted(os.listdir(tmp_path / "out")) == ["job.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shard_size": 4}, "another shard size"),
        ({"manifest": slice(0, 10)}, "another sounds, manifest"),
        ({"work": "other"}, "another work, verb"),
    ],
)
def test_an_output_of_something_else_is_refused(shelf, change, said, monkeypatch) -> None:
    items, straight = shelf
    work = Listening()
    if "work" in change:
        monkeypatch.setattr(Listening, "settings", lambda self: {"verb": "other"})
    given = items[change["manifest"]] if "manifest" in change else items
    before = straight.read("results.jsonl")
    with pytest.raises(InputError, match=f"was begun with {said}: give another folder"):
        map_shards(work, given, straight.url, shard_size=change.get("shard_size", 3))
    assert straight.read("results.jsonl") == before


DRIVER = """
from sonograph.scale.manifest import read_manifest
from sonograph.scale.run import map_shards
from tests.scale.works import Listening
if __name__ == "__main__":
    work = Listening({heard!r}, pause_s=0.15, gate={gate!r})
    map_shards(work, {sounds!r}, {out!r}, jobs=2, shard_size=3)
"""


def test_a_driver_that_is_killed_goes_on(shelf, tmp_path) -> None:
    items, straight = shelf
    heard, out = tmp_path / "heard", tmp_path / "out"
    script = tmp_path / "driver.py"
    gate = tmp_path / "gate"
    gate.touch()  # so that it is killed before the end, however late that is
    places = {"heard": heard, "sounds": tmp_path / "sounds", "out": out, "gate": gate}
    script.write_text(DRIVER.format(**{name: str(place) for name, place in places.items()}))
    path = os.pathsep.join([environment()["PYTHONPATH"], str(ROOT)])
    driver = subprocess.Popen([sys.executable, str(script)], env=environment(PYTHONPATH=path))
    until = time.monotonic() + 300
    while not list(out.glob("marks/*.json")):
        assert time.monotonic() < until
        assert driver.poll() is None
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    gate.unlink()
    workers = {int(line.split()[1]) for line in heard.read_text().splitlines()}
    while any(Path(f"/proc/{worker}").exists() for worker in workers):  # they notice, and end
        assert time.monotonic() < until
        time.sleep(0.02)
    marked = sorted(path.stem for path in out.glob("marks/*.json"))
    assert 0 < len(marked) < 4
    heard.write_text("")
    done = map_shards(Listening(str(heard)), items, str(out), jobs=1, shard_size=3)
    again = {int(line.split()[0]) // 3 for line in heard.read_text().splitlines()}
    assert again == set(range(4)) - {int(name) for name in marked}
    assert done.new == len(heard.read_text().splitlines())
    assert same(str(out), straight)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_leaves_no_half(tmp_path) -> None:
    sounds(tmp_path / "sounds", 400)  # more than are done before it is stopped
    words = ["embed", "--manifest", "sounds", "-o", "out", "--jobs", "1", "--shard-size", "1"]
    process = start(*words, cwd=tmp_path)
    while not list(tmp_path.glob("out/marks/*.json")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode in STOPPED
    assert out == ""
    assert err.splitlines()[-1] == (
        "sonograph: stopped: the same command goes on with what is in out"
    )
    assert sorted(os.listdir(tmp_path / "out")) == ["job.json", "marks", "shards"]
    assert len(list(tmp_path.glob("out/marks/*"))) < 400
