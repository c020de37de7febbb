"""A service in memory: the real application, its client, and one action that only waits."""

from __future__ import annotations

import dataclasses
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sonograph.serve.action import Action, Made, Outcome, Settings, Work, setting

RATE = 16_000
FILES = ("fastapi", "httpx", "python_multipart")


def wav(seconds: float = 1.0, hertz: float = 440.0, rate: int = RATE, channels: int = 1) -> bytes:
    """A tone as a WAV file."""
    time_s = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * hertz * time_s)
    return encoded(np.stack([tone] * channels, 1), rate)


def encoded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", coding: str = "PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, coding, format=kind)
    return file.getvalue()


@dataclasses.dataclass(frozen=True)
class WaitSettings(Settings):
    steps: int = setting(3, "How often it looks up.", 0, 10_000)
    fault: str = setting("", "How it fails.")


go = threading.Event()  # until it is set, the action waits


def _wait(work: Work) -> Outcome:
    """Writes two files, looks up every hundredth of a second, copies its sound."""
    (work.folder / "half.txt").write_text("half")
    for step in range(work.settings.steps):
        work.progress(step, work.settings.steps, "waiting")
        time.sleep(0.01)
    while not go.is_set():
        work.progress(1, 2, "waiting")
        time.sleep(0.01)
    if work.settings.fault == "crash":
        raise RuntimeError("oh no")
    if work.settings.fault == "input":
        from sonograph.errors import InputError

        raise InputError(f"{work.sounds[0].path} is unusable")
    sound = work.folder / "copy.wav"
    sound.write_bytes(work.sounds[0].path.read_bytes())
    text = work.folder / "notes.json"
    text.write_text("{}")
    made = (
        Made(sound, "copy", "sound", "audio/wav"),
        Made(text, "notes", "file", "application/json"),
    )
    return Outcome({"waited": work.settings.steps}, "none", "python", "command", made)


WAIT = Action(
    "wait", "Wait", "Waits.", "sounds", 1, 2, WaitSettings, lambda model: False, _wait
)  # fmt: skip


@pytest.fixture(scope="session")
def house() -> Any:
    """The models that come along, told once."""
    for package in FILES:
        pytest.importorskip(package)
    from sonograph.serve.actions import ACTIONS
    from sonograph.serve.models import Models

    return Models.of({**ACTIONS, "wait": WAIT})


Make = Callable[..., Any]


@pytest.fixture
def make(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a client of a service with settings; its folder is gone after the test."""
    from fastapi.testclient import TestClient

    from sonograph.serve import app as application
    from sonograph.serve.settings import Settings as Service

    monkeypatch.setattr(application, "ACTIONS", {**application.ACTIONS, "wait": WAIT})
    go.clear()
    made: list[Any] = []
    folder = tmp_path / "served"

    def start(**settings: Any) -> Any:
        given = {"rate": 0.0, "idle_s": 1.0, **settings}
        served = application.app(Service(folder=folder, **given), house)
        client = TestClient(served, base_url="http://127.0.0.1", raise_server_exceptions=False)
        client.service = served.state.service
        made.append(client)
        return client

    yield start
    go.set()
    for client in made:
        assert client.service.close(), "a job did not stop"
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """For limits of rates time stands still, so that a busy machine gives nobody more of it."""
    from types import SimpleNamespace

    from sonograph.serve import limits

    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.fixture
def client(make: Make) -> Any:
    return make()


def upload(client: Any, content: bytes | None = None, name: str = "a.wav", **fields: str) -> Any:
    """The sound that an upload became."""
    content = wav() if content is None else content
    answer = client.post("/api/sounds", files={"file": (name, content)}, data=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def finished(client: Any, job: str, seconds: float = 60.0) -> Any:
    """A job after it has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        told = client.get(f"/api/jobs/{job}").json()
        if told["state"] in ("done", "failed", "cancelled"):
            return told
        time.sleep(0.01)
    raise AssertionError(f"the job goes on: {told}")


def until(what: Any, seconds: float = 60.0) -> None:
    """Wait for something that comes by itself, for as long as a busy machine may need."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def refusal(answer: Any, *codes: int) -> str:
    """The one line of a refusal."""
    assert answer.status_code in codes, (answer.status_code, answer.text)
    assert list(answer.json()) == ["error"]
    words = answer.json()["error"]
    assert words, "a refusal without words"
    assert "\n" not in words
    assert len(words) <= 500
    return words


def left(service: Any) -> list[str]:
    """Names of all files that the service holds, but its lock."""
    folder = service.room.folder
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "in-use"
    )
