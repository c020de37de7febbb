"""The small parts of the service by themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sonograph.errors import InputError
from sonograph.serve.access import Keys, host_is_ours, is_this_machine
from sonograph.serve.answers import Refused
from sonograph.serve.limits import CLIENTS, Buckets
from sonograph.serve.names import attachment, shown
from sonograph.serve.room import PREFIX, Room
from sonograph.verbs.serve import Args, run, seconds, size


def test_a_bucket_fills_at_its_rate():
    buckets = Buckets(rate=2.0, depth=3.0)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 0.25) == 0.25  # asking in vain costs nothing
    assert buckets.take("a", 0.5) == 0
    assert [buckets.take("a", 100.0) for _ in range(4)][2:] == [0, 0.5]  # never more than depth


def test_buckets_are_only_so_many():
    buckets = Buckets(1.0, 1.0)
    for k in range(2 * CLIENTS):
        buckets.take(str(k), 0.0)
    assert len(buckets._held) == CLIENTS


def test_sessions_end():
    keys = Keys("word")
    name = keys.open()
    assert keys.allow("", f"a=b; sonograph={name}")
    keys._sessions = dict.fromkeys(keys._sessions, 0.0)
    assert not keys.allow("", f"sonograph={name}")
    assert not keys.allow("", "sonograph=")
    assert Keys("").allow("", "")


@pytest.mark.parametrize(
    ("host", "bound", "names", "ours"),
    [
        ("192.168.1.5:8000", "0.0.0.0", (), True),
        ("192.168.1.5:8000", "127.0.0.1", (), False),
        ("studio.lan", "0.0.0.0", (), False),
        ("Studio.lan:80", "0.0.0.0", ("studio.lan",), True),
        ("[fe80::1]", "::", (), True),
        ("localhost:99999", "127.0.0.1", (), False),
        ("localhost/x", "127.0.0.1", (), False),
    ],
)
def test_hosts(host, bound, names, ours):
    assert host_is_ours(host, bound, names) is ours


@pytest.mark.parametrize(
    ("client", "server", "here"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.9.9.9", "192.168.1.5", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::", True),
        ("192.168.1.5", "192.168.1.5", True),  # by its own address in the network
        ("192.168.1.6", "192.168.1.5", False),
        ("::ffff:10.0.0.1", "::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
        ("", "", True),
    ],
)
def test_who_asks_from_this_machine(client, server, here):
    assert is_this_machine(client, server) is here


def test_names_keep_their_suffix():
    assert shown("x" * 300 + ".flac") == "x" * 115 + ".flac"
    assert shown("") == "sound"
    header = attachment('ä".wav')
    assert header == "attachment; filename=\"__.wav\"; filename*=UTF-8''%C3%A4%22.wav"


def test_a_room_is_counted_locked_and_left_clean(tmp_path):
    room = Room(tmp_path, 100)
    room.take(60)
    with pytest.raises(Refused, match="disk is full"):
        room.take(41)
    room.give(60)
    room.take(100)
    other = Room(tmp_path, 100)  # does not touch the first: it is in use
    assert room.folder.exists()
    room.close()
    other.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_service_left_is_removed_and_nothing_else(tmp_path):
    dead = tmp_path / f"{PREFIX}dead"
    (dead / "sounds").mkdir(parents=True)
    (dead / "in-use").touch()
    mine = tmp_path / f"{PREFIX}of-someone"
    mine.mkdir()
    (mine / "keep.txt").touch()
    Room(tmp_path, 1).close()
    assert [p.name for p in tmp_path.iterdir()] == [mine.name]


def test_amounts():
    assert (seconds("90s", "keep"), seconds("1.5 H", "keep")) == (90, 5400)
    assert size("2GB", "largest") == 2 * 10**9
    for text in ("", "1", "h", "0s", "-1s", "1 year", "1e9s"):
        with pytest.raises(InputError, match="--keep"):
            seconds(text, "keep")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"jobs": 0}, "--jobs"),
        ({"queue": 0}, "--queue"),
        ({"rate": -1.0}, "--rate"),
        ({"port": 70_000}, "--port"),
        ({"keep": "soon"}, "--keep"),
        ({"host": "256.0.0.1"}, "cannot listen"),
        ({"model": ("/nowhere",)}, "no model folder"),
    ],
)
def test_options_that_cannot_be_used(given, words, tmp_path):
    with pytest.raises(InputError, match=words):
        run(Args(port=given.pop("port", 0), folder=tmp_path, **given))
    assert list(tmp_path.iterdir()) == []


def test_the_service_costs_nothing_until_it_is_asked_for():
    code = (
        "import sys, sonograph.serve, sonograph.verbs.serve, sonograph.serve.settings;"
        "sys.exit(bool({'torch', 'fastapi', 'uvicorn', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
