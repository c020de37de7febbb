"""`sonograph serve` as a process: it starts, it is ended by a signal, it is killed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.e2e.commands import sonograph_command, start

pytestmark = pytest.mark.slow
httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")


def begin(folder: Path, *options: object) -> tuple[subprocess.Popen, str]:
    process = start(
        "serve", "--port", 0, "--json", "--folder", folder / "served", *options, cwd=folder
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return process, json.loads(line)["address"]


def long_sound(folder: Path, minutes: float) -> Path:
    path = folder / "long.flac"
    noise = np.random.default_rng(0).integers(-900, 900, round(minutes * 60 * 16_000))
    soundfile.write(path, noise.astype(np.int16), 16_000)
    return path


def ended(process: subprocess.Popen, folder: Path, seconds: float = 60) -> str:
    """What it said on stderr; it is gone in time, and its folder is empty.

    In time: on an idle machine that is two seconds; what runs in it would take many minutes.
    """
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, said
    assert list((folder / "served").iterdir()) == []
    return said


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_the_middle_of_everything(tmp_path, sign):
    process, address = begin(tmp_path)
    sound = long_sound(tmp_path, 20)
    with httpx.Client(base_url=address, timeout=120) as client:
        with sound.open("rb") as file:
            given: Any = client.post("/api/sounds", files={"file": file}).json()
        body = {"action": "tag", "sounds": [given["id"]]}
        job = client.post("/api/jobs", json=body).json()["id"]
        client.post("/api/jobs", json=body)  # one that waits
        while not client.get(f"/api/jobs/{job}").json()["progress"]["done"]:
            time.sleep(0.05)
        host, port = address.removeprefix("http://").split(":")
        upload = socket.create_connection((host, int(port)))
        upload.sendall(
            b"POST /api/sounds HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        with client.stream("GET", f"/api/jobs/{job}/events") as events:
            lines = events.iter_lines()
            assert next(lines).startswith("data: ")
            process.send_signal(sign)
            said = ended(process, tmp_path)
            assert "Traceback" not in said
        upload.close()


def test_two_signals_do_no_harm(tmp_path):
    process, _ = begin(tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    ended(process, tmp_path)


def test_the_next_one_cleans_up_after_one_that_was_killed(tmp_path):
    process, address = begin(tmp_path)
    with long_sound(tmp_path, 0.1).open("rb") as file:
        assert httpx.post(f"{address}/api/sounds", files={"file": file}).status_code == 201
    process.kill()
    process.communicate()
    (before,) = (tmp_path / "served").iterdir()
    process, address = begin(tmp_path)
    assert not before.exists()
    assert httpx.get(f"{address}/api/sounds").json() == []  # nothing is carried over
    process.terminate()
    ended(process, tmp_path)


def test_it_tells_what_is_wrong(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = sonograph_command("serve", "--port", port, cwd=tmp_path)
    assert answer.code == 2
    assert "give another --port" in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""
