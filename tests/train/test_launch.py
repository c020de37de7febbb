"""One command, many processes: equal to one process, and none the worse for one that dies.

Two processes with a batch each are compared with one that accumulates two: process r of 2 then
draws the masks of part r, and clips follow each other in the same order.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from sonograph import cli, load
from sonograph.errors import InputError
from sonograph.train import launch
from sonograph.train.launch import Group
from sonograph.train.log import read_log
from sonograph.verbs.train import Args, words
from tests.e2e.commands import RATE, environment, noise

STEPS, SAVED = 40, 5
OTHERS = {
    "preset": "ssast-mini",
    "data": ("here.csv", "a folder"),
    "output": Path("runs/a b"),
    "steps": 7,
    "batch": 3,
    "lr": 3e-05,
    "seed": 5,
    "objective": "supcon",
    "task": "kind",
    "stop_when_flat": 0.25,
    "set": ("train.weight_decay=0.05", "draw=clips"),
    "folder": Path("there"),
    "processes": 4,
    "nodes": 2,
    "at": "10.0.0.1:7000",
    "parallel": "shard",
    "restarts": 0,
    "json": True,
}


# --- what is typed -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Args)])
def test_every_option_comes_back_as_it_was_typed(name):
    """A new option needs a value in OTHERS."""
    args = dataclasses.replace(Args("ssast-test"), **{name: OTHERS[name]})
    assert cli._parse(Args, "train", words(args)) == args != Args("ssast-test")


def test_all_options_at_once_come_back():
    args = Args(**OTHERS)
    assert cli._parse(Args, "train", words(args)) == args


def test_only_what_differs_is_told():
    assert words(Args("ssast-test")) == ["ssast-test"]


# --- groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"processes": -1}, {"nodes": 0}, {"restarts": -1}])
def test_impossible_groups(wrong):
    with pytest.raises(InputError, match="0 or more"):
        Group(**wrong)


def test_several_nodes_have_to_meet_somewhere(tmp_path, capsys):
    assert cli.main(["train", "ssast-test", "--nodes", "2", "-o", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert "--at HOST:PORT" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("at", ["here:", ":77", "here:x", "here:70000"])
def test_no_place_to_meet(at):
    with pytest.raises(InputError, match="is not HOST or HOST:PORT"):
        Group(nodes=2, at=at)


def test_zero_is_one_a_gpu():
    assert Group(0).each == max(1, torch.accelerator.device_count())
    assert Group(3).each == 3


def test_where_they_meet():
    assert Group(2).meeting == "localhost:0"
    assert Group(nodes=2, at="here").meeting == f"here:{launch.PORT}"
    assert Group(nodes=2, at="here:77").meeting == "here:77"
    assert [Group(*given).several for given in ((1, 1), (2, 1), (0, 1), (1, 2, "x"))] == [
        False, True, True, True,
    ]  # fmt: skip


def test_a_batch_too_small_is_one_line_before_anything_starts(room, capsys):
    out = room / "small"
    given = ["--data", str(room / "sounds"), "--batch", "3", "-o", str(out)]
    assert cli.main(["train", "ssast-test", *given, "--processes", "4"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "sonograph: a batch of 3 clips for 4 processes: give --batch 4 or more"
    assert not out.exists()


def test_the_way_to_the_meeting_point(monkeypatch):
    assert launch._of_this_node("127.0.0.1") == [
        "--local-addr=127.0.0.1",
        "--rdzv-conf=is_host=true",
    ]
    told = launch._surroundings(Group(nodes=2, at="127.0.0.1"), "127.0.0.1")
    if sys.platform == "linux":
        assert told["GLOO_SOCKET_IFNAME"] == "lo"
    assert "GLOO_SOCKET_IFNAME" not in launch._surroundings(Group(2), None)

    def unknown(*_, **__):
        raise socket.gaierror("unknown name")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match="--at nowhere cannot be reached"):
        launch._of_this_node("nowhere")


def test_the_environment_is_as_before():
    before = dict(os.environ)
    with launch._environment({launch.NOTE: "x"}):
        assert os.environ[launch.NOTE] == "x"
    assert os.environ == before


def test_wrong_input_is_noted_once_for_the_launcher(tmp_path, monkeypatch, capsys):
    note = tmp_path / "note"
    with pytest.raises(InputError), launch.one_voice():  # not launched: it passes
        raise InputError("first")
    monkeypatch.setenv(launch.NOTE, str(note))
    with pytest.raises(RuntimeError), launch.one_voice():  # a fault of its own
        raise RuntimeError("lost")
    for error in (InputError("first"), InputError("second"), RuntimeError("connection lost")):
        with pytest.raises(SystemExit) as left, launch.one_voice():
            raise error
        assert left.value.code == 2
    assert note.read_text() == "first"
    with pytest.raises(SystemExit), launch.one_voice():
        pytest.fail("started although another process met wrong input")
    assert capsys.readouterr() == ("", "")


# --- real processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    """A folder with a dozen sounds in it."""
    room = tmp_path_factory.mktemp("room")
    (room / "sounds").mkdir()
    for k in range(12):
        soundfile.write(room / "sounds" / f"{k}.wav", noise(k), RATE)
    return room


def begin(room: Path, name: str, *more: object, host: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start a training of STEPS steps; `more` are options after those that all have in common.

    epsilon: some weights have no gradient but rounding, which Adam would blow up to full steps.
    """
    given = ["--data", "sounds", "-o", name, "--steps", STEPS, *more, "--set", "workers=0"]
    given += ["draw=clips", "train.log_every=1", f"train.save_every={SAVED}", "train.epsilon=1e-3"]
    given += [f"train.eval_every={SAVED}"]
    if "--processes" not in more and "--nodes" not in more:
        given += ["train.accumulate=2", "--batch", 2]
    else:
        given += ["--batch", 4]
    return subprocess.Popen(
        [*host, sys.executable, "-m", "sonograph.cli", "train", "ssast-test", *map(str, given)],
        cwd=room,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen, code: int = 0) -> str:
    told, _ = process.communicate(timeout=200)
    assert process.returncode == code, told[-5000:]
    return told


def step_of(folder: Path) -> int:
    return max((line["step"] for line in read_log(folder / "log.jsonl")), default=0)


def until(step: int, folder: Path, *processes: subprocess.Popen) -> None:
    while step_of(folder) < step:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)


def workers(process: subprocess.Popen) -> list[int]:
    """The processes that torchrun started."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in path.read_text().split()]


def assert_equal(one: Path, other: Path, allowed: float = 0.0) -> None:
    first, second = (load_file(folder / "last.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=allowed, msg=name)


@pytest.fixture(scope="module")
def alone(room) -> Path:
    """One process."""
    end(begin(room, "alone"))
    return room / "alone"


@pytest.fixture(scope="module")
def undisturbed(room) -> Path:
    """Two processes, nothing happens."""
    end(begin(room, "undisturbed", "--processes", 2))
    return room / "undisturbed"


@pytest.mark.slow
def test_two_processes_equal_one(alone, undisturbed):
    assert_equal(alone, undisturbed, 1e-6)


@pytest.mark.slow
def test_two_processes_with_shards_equal_one(room, alone):
    told = end(begin(room, "shards", "--processes", 2, "--parallel", "shard"))
    assert told.count("held-out loss") == 1  # one process speaks
    assert_equal(alone, room / "shards", 1e-6)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_that_is_killed_is_started_again(room, undisturbed, which):
    """All go on from the last state, and end where they would have ended."""
    folder = room / f"killed-{which}"
    process = begin(room, folder.name, "--processes", 2)
    until(SAVED + 2, folder, process)
    os.kill(workers(process)[which], signal.SIGKILL)
    end(process)
    assert_equal(undisturbed, folder)
    steps = [line["step"] for line in read_log(folder / "log.jsonl") if line["kind"] == "train"]
    assert steps == list(range(1, STEPS + 1))  # nothing is logged twice


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_worker_that_dies_again_and_again(room, undisturbed):
    """One line at the end; what it leaves goes on."""
    folder = room / "dying"
    process = begin(room, folder.name, "--processes", 2, "--restarts", 1)
    until(SAVED + 2, folder, process)
    os.kill(first := workers(process)[1], signal.SIGKILL)
    while len(found := workers(process)) < 2 or first in found:
        assert process.poll() is None
        time.sleep(0.01)
    until(2 * SAVED + 4, folder, process)
    os.kill(workers(process)[1], signal.SIGKILL)
    told = end(process, 2).splitlines()
    assert told[-1].startswith("sonograph: a process ended with code -9, 1 restarts included")
    assert isinstance(load(folder), torch.nn.Module)
    assert 2 * SAVED <= step_of(folder) < STEPS
    end(begin(room, folder.name, "--processes", 2))
    assert_equal(undisturbed, folder)


@pytest.mark.slow
def test_what_is_stopped_goes_on(room, undisturbed):
    """SIGTERM to the command, as a cluster sends it: the step is finished and saved."""
    folder = room / "stopped"
    process = begin(room, folder.name, "--processes", 2)
    until(SAVED + 2, folder, process)
    process.terminate()
    told = end(process, 130)
    assert "sonograph: stopped by SIGTERM" in told.splitlines()[-1]
    assert "Traceback" not in told
    assert SAVED <= step_of(folder) < STEPS
    end(begin(room, folder.name, "--processes", 2))
    assert_equal(undisturbed, folder)


@pytest.mark.slow
def test_wrong_input_in_a_launched_run_is_said_once(room, undisturbed):
    process = begin(room, "undisturbed", "--processes", 2, "--objective", "generative")
    told = end(process, 2)
    assert told.count("was begun with objective = joint, not generative") == 1
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("sonograph: ")


# --- two hosts -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Two network namespaces with a cable between them; processes and files are shared."""

    names: tuple[str, str]
    cables: tuple[str, str]

    def start(self, room: Path, name: str, port: int, which: int) -> subprocess.Popen:
        given = ("--nodes", 2, "--at", f"10.77.0.1:{port}")
        return begin(room, name, *given, host=("ip", "netns", "exec", self.names[which]))

    def plug(self, which: int, state: str) -> None:
        ip("-n", self.names[which], "link", "set", self.cables[which], state)

    def die(self, which: int) -> None:
        """Everything that runs on the host is killed."""
        for pid in ip("netns", "pids", self.names[which]).split():
            os.kill(int(pid), signal.SIGKILL)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    if shutil.which("ip") is None:
        pytest.skip("no `ip`: two hosts are made of network namespaces (iproute2)")
    number = os.getpid()
    made = Hosts((f"sono{number}a", f"sono{number}b"), (f"so{number}a", f"so{number}b"))
    try:
        for name in made.names:
            ip("netns", "add", name)
        one, other = made.names
        here, there = made.cables
        ip("link", "add", here, "netns", one, "type", "veth", "peer", "name", there, "netns", other)
        for k, (name, cable) in enumerate(zip(made.names, made.cables)):
            ip("-n", name, "addr", "add", f"10.77.0.{k + 1}/24", "dev", cable)
            for device in ("lo", cable):
                ip("-n", name, "link", "set", device, "up")
    except subprocess.CalledProcessError as error:
        _remove(made)
        pytest.skip(f"network namespaces are not allowed here ({error.stderr.strip()})")
    yield made
    for which in (0, 1):
        made.die(which)
    _remove(made)


def _remove(made: Hosts) -> None:
    for name in made.names:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def both(hosts: Hosts, room: Path, name: str, port: int) -> list[subprocess.Popen]:
    return [hosts.start(room, name, port, which) for which in (0, 1)]


@pytest.mark.slow
def test_two_hosts_equal_one_process(room, alone, hosts):
    told = [end(process) for process in both(hosts, room, "hosts", 29_411)]
    assert [words.count("held-out loss") for words in told].count(1) == 1
    assert_equal(alone, room / "hosts", 1e-6)


@pytest.mark.slow
def test_a_cable_that_is_out_for_a_while(room, undisturbed, hosts):
    """Both wait, and go on when it is back."""
    folder = room / "cable"
    processes = both(hosts, room, folder.name, 29_412)
    until(SAVED + 2, folder, *processes)
    hosts.plug(1, "down")
    time.sleep(2)
    held = step_of(folder)
    assert held < STEPS
    time.sleep(1)
    assert step_of(folder) == held
    hosts.plug(1, "up")
    for process in processes:
        end(process)
    assert_equal(undisturbed, folder)


@pytest.mark.slow
def test_a_host_that_dies_and_comes_back(room, undisturbed, hosts):
    """The other waits for it, and both go on from the last state."""
    folder = room / "host"
    first, second = both(hosts, room, folder.name, 29_413)
    until(SAVED + 2, folder, first, second)
    hosts.die(1)
    second.communicate()
    assert first.poll() is None
    again = hosts.start(room, folder.name, 29_413, 1)
    end(again)
    end(first)
    assert_equal(undisturbed, folder)


@pytest.mark.slow
def test_the_host_where_they_meet_dies(room, undisturbed, hosts):
    """The other says so and ends; given the command again, both go on."""
    folder = room / "meeting"
    first, second = both(hosts, room, folder.name, 29_414)
    until(SAVED + 2, folder, first, second)
    hosts.die(0)
    first.communicate()
    told = end(second, 2).splitlines()
    assert told[-1].startswith("sonograph: 10.77.0.1:29414 is not reached")
    for process in both(hosts, room, folder.name, 29_415):
        end(process)
    assert_equal(undisturbed, folder)
