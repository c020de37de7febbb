"""What grows without an end, races, or fails: bounded, told, and never half done."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sonograph.serve import jobs as jobs_of
from sonograph.serve import pictures, playable, sounds
from sonograph.serve.limits import Buckets
from sonograph.serve.uploads import FORM_BYTES
from tests.serve.conftest import Make, encoded, finished, go, left, refusal, until, upload, wav
from tests.serve.test_hostile import END, FORM, part

FILE = part('form-data; name="file"; filename="a.wav"', wav(0.1))


NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 1))


def begin(client: Any, *sounds: str, action: str = "wait", **settings: Any) -> Any:
    body = {"action": action, "sounds": sounds, "settings": settings}
    return client.post("/api/jobs", json=body)


# --- what never ends ---


def test_a_form_that_goes_on_after_its_end(make: Make):
    client = make(largest_bytes=50_000)
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield FILE + END
        while sent < 100 * FORM_BYTES:
            sent += 10_000
            yield b"x" * 10_000

    answer = client.post("/api/sounds", content=pieces(), headers={"content-type": FORM})
    assert "larger than 50,000" in refusal(answer, 413)
    assert left(client.service) == []


def test_jobs_and_sounds_that_are_remembered_are_only_so_many(make: Make, monkeypatch):
    monkeypatch.setattr(jobs_of, "MOST_ENDED", 3)
    monkeypatch.setattr(sounds, "MOST_SOUNDS", 2)
    client = make()
    sound = upload(client)["id"]
    ended = []
    for _ in range(6):  # each fails at once
        job = begin(client, sound, fault="input").json()["id"]
        go.set()
        assert finished(client, job)["state"] == "failed"
        ended.append(job)
    assert [one["id"] for one in client.get("/api/jobs").json()] == ended[:1:-1]
    upload(client)
    answer = client.post("/api/sounds", files={"file": ("a.wav", wav())})
    assert "2 sounds are kept" in refusal(answer, 507)
    held = client.service.room.held_bytes
    for one in client.get("/api/sounds").json():
        client.delete(f"/api/sounds/{one['id']}")
    assert held > 0 == client.service.room.held_bytes
    assert left(client.service) == []


@pytest.mark.usefixtures("still")
def test_tokens_cannot_be_tried_in_headers_either(make: Make):
    client = make(token="x")

    def ask(word: str) -> int:
        headers = {"authorization": f"Bearer {word}"}
        return client.get("/api/sounds", headers=headers).status_code

    assert {ask("x") for _ in range(30)} == {200}  # who knows it may ask as often as they like
    assert [ask("y") for _ in range(12)] == [401] * 10 + [429] * 2
    assert ask("x") == 429  # nobody learns by this that it is right
    assert client.get("/api/sounds").status_code == 401  # a page without one is told to ask


def test_waiting_for_a_token_of_a_bucket_takes_none():
    buckets = Buckets(rate=2.0, depth=1.0)
    assert [buckets.wait("a", 0.0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", 0.0) == 0
    assert buckets.wait("a", 0.0) == 0.5


# --- what goes while it is looked at ---


def test_a_sound_that_is_deleted_while_it_is_drawn(client, monkeypatch):
    for module, name, path in (
        (pictures, "outline", "peaks"),
        (pictures, "levels", "spectrogram.png"),
        (playable, "_convert", "audio"),
    ):
        sound = upload(client, encoded(NOISE, kind="AIFF"), "a.aiff")["id"]
        plain = getattr(module, name)

        def meanwhile(*given: Any, plain: Any = plain, sound: str = sound) -> Any:
            client.service.sounds.delete(sound)
            return plain(*given)

        monkeypatch.setattr(module, name, meanwhile)
        assert "sound" in refusal(client.get(f"/api/sounds/{sound}/{path}"), 404)
        monkeypatch.setattr(module, name, plain)


def test_what_was_made_of_a_deleted_sound_does_not_stay(client, monkeypatch):
    sound = upload(client, encoded(NOISE, kind="AIFF"), "a.aiff")["id"]
    convert = sounds.Sounds.convert

    def late(self: Any, one: Any, made: Any) -> None:
        self.delete(one.id)
        convert(self, one, made)

    monkeypatch.setattr(sounds.Sounds, "convert", late)
    refusal(client.get(f"/api/sounds/{sound}/audio"), 404)
    assert left(client.service) == []
    assert client.service.room.held_bytes == 0


def test_the_last_moment_of_a_sound_can_be_looked_at(client):
    sound = upload(client, wav(1.0))["id"]
    for start in (0.9999, 0.99997, 0.99999999):
        for what in ("peaks", "spectrogram.png"):
            answer = client.get(f"/api/sounds/{sound}/{what}?start_s={start}")
            assert answer.status_code == 200


# --- jobs ---


def test_a_cancelled_job_that_still_runs_keeps_its_folder(client, monkeypatch):
    entered, leave = threading.Event(), threading.Event()
    service = client.service
    action = service.actions["wait"]
    found: list[bool] = []

    def stubborn(work: Any) -> Any:
        entered.set()
        assert leave.wait(60)
        found.append(work.folder.is_dir())
        return action.carry(work)

    service.actions["wait"] = dataclasses.replace(action, carry=stubborn)
    sound = upload(client)["id"]
    job = begin(client, sound).json()["id"]
    assert entered.wait(60)
    for _ in range(2):  # the first cancels, the second forgets
        assert client.delete(f"/api/jobs/{job}").status_code == 204
    refusal(client.get(f"/api/jobs/{job}"), 404)
    leave.set()
    until(lambda: client.delete(f"/api/sounds/{sound}").status_code == 204)
    until(lambda: left(service) == [] and service.room.held_bytes == 0)
    assert found == [True]


def test_what_did_not_fit_is_not_given_back(make: Make, monkeypatch):
    from sonograph.serve import service as service_of

    client = make()
    sound = upload(client)
    monkeypatch.setattr(service_of, "size_of", lambda folder: 1 << 40)
    go.set()
    job = begin(client, sound["id"]).json()["id"]
    assert "disk is full" in finished(client, job)["error"]
    held = sum(p.stat().st_size for p in (client.service.room.folder / "sounds").iterdir())
    until(lambda: client.service.room.held_bytes == held)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(client, value):
    sound = upload(client)["id"]
    head = {"content-type": "application/json"}
    for action, field in (("tag", "least"), ("enhance", "keep"), ("separate", "shifts")):
        body = (
            f'{{"action": "{action}", "sounds": ["{sound}"], "settings": {{"{field}": {value}}}}}'
        )
        answer = client.post("/api/jobs", content=body, headers=head)
        assert refusal(answer, 422)


def test_a_model_that_was_removed_while_it_was_loaded_is_not_kept(house, monkeypatch):
    from sonograph import weights
    from sonograph.serve.actions import ACTIONS
    from sonograph.serve.models import Models

    models = Models(ACTIONS)
    folder = house.folder("panns-mini")
    models.add(folder, "mine")
    load = weights.load

    def slow(path: Any) -> Any:
        models.remove("mine")
        models.add(folder, "mine")  # another of the same name
        return load(path)

    monkeypatch.setattr(weights, "load", slow)
    first = models.get("mine")
    monkeypatch.setattr(weights, "load", load)
    assert models.get("mine") is not first


# --- faults ---


def test_a_fault_is_answered_with_all_headers_and_counted(client, monkeypatch, caplog):
    sound = upload(client)["id"]
    monkeypatch.setattr(pictures, "outline", lambda *given: 1 / 0)
    answer = client.get(f"/api/sounds/{sound}/peaks")
    assert refusal(answer, 500) == "the service failed on this request: see its log"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert 'route="/api/sounds/{id}/peaks",status="500"} 1' in client.get("/metrics").text
    assert "ZeroDivisionError" in caplog.text


def test_many_channels_are_read_in_smaller_blocks(client):
    one, many = (upload(client, wav(0.1, rate=r, channels=c)) for r, c in ((8000, 1), (48000, 16)))
    seconds = [pictures.block_s(client.service.sounds.get(s["id"])) for s in (one, many)]
    assert seconds[0] == pictures.BLOCK_S
    assert seconds[1] * 48_000 * 16 == pytest.approx(pictures.BLOCK_VALUES)


def test_a_file_that_is_called_like_an_option(house):
    from sonograph.serve.action import command

    assert command("tag", "--help.wav", model="m") == "sonograph tag ./--help.wav --model m"
