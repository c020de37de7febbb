"""The same by Ray Data actors: equal to the bit, killed and begun again, nothing left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from sonograph.scale.manifest import read_manifest
from sonograph.scale.places import Place
from sonograph.scale.run import map_shards
from tests.conftest import ROOT
from tests.e2e.commands import environment
from tests.scale.test_run import rows_of, same
from tests.scale.works import Listening, sounds

pytestmark = pytest.mark.slow

DRIVER = """
import json, sys
from sonograph.progress import Line
from sonograph.scale.run import map_shards
from tests.scale.works import Listening
if __name__ == "__main__":
    work = Listening({heard!r}, {deadly!r}, pause_s={pause_s})
    done = map_shards(work, {sounds!r}, {out!r}, "ray", 2, 3)
    print(json.dumps(done.to_json()))
"""


@pytest.fixture
def ray_installed() -> None:
    if importlib.util.find_spec("ray") is None:
        assert not os.environ.get("CI"), "CI installs the extra `cluster`"
        pytest.skip("ray is not installed")


@pytest.fixture
def home(tmp_path) -> Path:
    """An empty home folder."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def nothing_goes_on():
    """Whatever a test that failed has left is ended."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


STARTED: list[subprocess.Popen] = []


class Run:
    """A driver with Ray, as a process of its own."""

    def __init__(self, folder: Path, home: Path, pause_s: float = 0.0, deadly: str = ""):
        self.heard, self.out = folder / "heard", folder / "out"
        script = folder / "driver.py"
        script.write_text(
            DRIVER.format(
                heard=str(self.heard), sounds=str(folder / "sounds"), out=str(self.out),
                pause_s=pause_s, deadly=deadly,
            )
        )  # fmt: skip
        path = os.pathsep.join([environment()["PYTHONPATH"], str(ROOT)])
        self.place = folder / f"here-{time.monotonic_ns()}"  # titles overwrite what /proc tells ...
        self.place.mkdir()  # ... of arguments and environment, not where a process stands
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            env=environment(PYTHONPATH=path, HOME=str(home)),
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        STARTED.append(self.process)

    def wait(self) -> dict:
        out, err = self.process.communicate(timeout=400)
        assert self.process.returncode == 0, err[-3000:]
        return json.loads(out)  # nothing else is printed

    def until(self, ready) -> None:
        deadline = time.monotonic() + 300
        while not ready():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.communicate()[1][-3000:]
            time.sleep(0.02)

    def lines(self) -> list[list[int]]:
        if not self.heard.exists():
            return []
        text = self.heard.read_text()
        return [
            [int(v) for v in line.split()] for line in text[: text.rfind("\n") + 1].splitlines()
        ]

    def left(self) -> list[str]:
        """The processes that this run has started and that still are, after at most 200 seconds.

        Where the driver was killed, two of Ray's own agents try for a minute to report it.
        """
        deadline, found = time.monotonic() + 200, ["?"]
        while found and time.monotonic() < deadline:
            found = [self._name(p) for p in Path("/proc").glob("[0-9]*") if self._is_of_this(p)]
            time.sleep(0.1)
        return found

    def _is_of_this(self, process: Path) -> bool:
        try:
            return (process / "cwd").readlink() == self.place
        except OSError:
            return False

    @staticmethod
    def _name(process: Path) -> str:
        with contextlib.suppress(OSError):
            return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return process.name


def temporary() -> set[str]:
    return {path.name for path in Path("/tmp").glob("*ray*")}


def test_killed_worker_and_driver_every_sound_once(ray_installed, tmp_path, home) -> None:
    """A worker is killed, then the driver; the run after them gives what a straight one gives."""
    items = sounds(tmp_path / "sounds", 17)
    map_shards(Listening(), items, str(tmp_path / "straight"), jobs=1, shard_size=3)
    straight, before = Place(str(tmp_path / "straight")), temporary()

    first = Run(tmp_path, home, pause_s=0.5)
    first.until(lambda: len(first.lines()) > 1)
    victim = first.lines()[-1][1]
    os.kill(victim, signal.SIGKILL)
    killed_with = len(first.lines())
    first.until(lambda: len(list(first.out.glob("marks/*.json"))) > 1)
    first.process.kill()
    first.process.communicate()
    assert first.left() == []
    marked = {int(path.stem) for path in first.out.glob("marks/*.json")}
    assert 1 < len(marked) < 6
    assert killed_with < len(first.lines())

    first.heard.write_text("")
    second = Run(tmp_path, home)
    done = second.wait()
    assert second.left() == []
    assert (done["items"], done["failed"], done["shards"]) == (17, 0, 6)
    again = Counter(number for number, _ in second.lines())
    assert set(again.values()) == {1}
    assert {number // 3 for number in again} == set(range(6)) - marked
    assert done["new"] == len(again)
    assert [row["number"] for row in rows_of(str(second.out))] == list(range(17))
    assert same(str(second.out), straight)  # ray and local, to the bit
    assert list(home.iterdir()) == []
    left = temporary() - before
    for name in left:
        shutil.rmtree(Path("/tmp") / name)
    assert len(left) <= 1, "only a driver that is killed leaves its folder"


def test_a_sound_that_always_kills_is_a_row_after_two_tries(ray_installed, tmp_path, home) -> None:
    items, before = sounds(tmp_path / "sounds", 5), temporary()
    map_shards(Listening(), items, str(tmp_path / "straight"), jobs=1, shard_size=3)
    run = Run(tmp_path, home, deadly="01")
    done = run.wait()
    assert run.left() == []
    assert (done["items"], done["failed"]) == (5, 1)
    found, whole = rows_of(str(run.out)), rows_of(str(tmp_path / "straight"))
    assert "ended 2 workers" in found[1]["error"]
    assert found[:1] + found[2:] == whole[:1] + whole[2:]
    assert [number for number, _ in run.lines()].count(1) == 2
    assert list(home.iterdir()) == []
    assert temporary() == before


def test_the_command_and_a_model_that_is_not_there(ray_installed, tmp_path, home) -> None:
    items = sounds(tmp_path / "sounds", 2)
    assert len(items) == 2
    words = ["embed", "--manifest", "sounds", "-o", "out", "--engine", "ray", "--jobs", "1"]
    command = [sys.executable, "-m", "sonograph.cli", *words, "--json"]
    for more, code in (([], 0), (["--model", "gone", "-o", "none"], 2)):
        answer = subprocess.run(
            [*command, *more], cwd=tmp_path, env=environment(HOME=str(home)),
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert answer.returncode == code, answer.stderr[-3000:]
        if code:
            assert "no model 'gone'" in answer.stderr.splitlines()[-1]
            assert answer.stdout == ""
        else:
            assert json.loads(answer.stdout)["items"] == 2
    assert len(read_manifest(str(tmp_path / "sounds"))) == 2
    assert list(home.iterdir()) == []


TWICE = """
import sys
from sonograph.scale.run import map_shards
from tests.scale.works import Listening
if __name__ == "__main__":
    for out in sys.argv[2:]:
        map_shards(Listening(sys.argv[1] + "/heard", ""), sys.argv[1] + "/sounds", out, "ray", 1, 3)
"""


def test_twice_in_one_process(ray_installed, tmp_path, home) -> None:
    """Ray remembers the token of the first time."""
    (tmp_path / "sounds").mkdir()
    sounds(tmp_path / "sounds", 3)
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    outs = [str(tmp_path / "one"), str(tmp_path / "two")]
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), *outs],
        env=environment(HOME=str(home), PYTHONPATH=f"{ROOT}:{ROOT / 'src'}"),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [Path(out, "results.jsonl").read_text() for out in outs]
    assert rows[0] == rows[1]
    assert len(rows[0].splitlines()) == 3
