"""The service as its clients see it."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from sonograph.audio.io import read
from tests.serve.conftest import Make, encoded, finished, go, left, refusal, until, upload, wav


class TestSounds:
    def test_what_is_given_is_told_and_given_back(self, client, tmp_path):
        content = wav(0.5, rate=44_100, channels=2)
        sound = upload(client, content, "my dog.wav", label="dog")
        assert sound["name"] == "my dog.wav"
        assert (sound["rate_hz"], sound["channels"], sound["duration_s"]) == (44_100, 2, 0.5)
        assert (sound["label"], sound["from"], sound["bytes"]) == ("dog", None, len(content))
        assert client.get("/api/sounds").json() == [sound]
        assert client.get(f"/api/sounds/{sound['id']}").json() == sound
        audio = client.get(f"/api/sounds/{sound['id']}/audio")
        assert audio.content == content
        assert audio.headers["content-type"] == "audio/wav"
        part = client.get(f"/api/sounds/{sound['id']}/audio", headers={"range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, content[4:8])
        kept = client.get(f"/api/sounds/{sound['id']}/audio?download=1")
        assert kept.headers["content-disposition"].startswith('attachment; filename="my dog.wav"')
        assert client.delete(f"/api/sounds/{sound['id']}").status_code == 204
        refusal(client.get(f"/api/sounds/{sound['id']}"), 404)
        assert left(client.service) == []
        assert client.service.room.held_bytes == 0

    def test_what_a_browser_cannot_play_is_sent_as_wav(self, client, tmp_path):
        values = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 1))
        sound = upload(client, encoded(values, kind="AIFF", coding="PCM_24"), "a.aiff")
        for _ in range(2):
            answer = client.get(f"/api/sounds/{sound['id']}/audio")
            assert answer.headers["content-type"] == "audio/wav"
        path = tmp_path / "got.wav"
        path.write_bytes(answer.content)
        np.testing.assert_allclose(read(path).samples[0], values[:, 0], atol=1e-4)
        client.delete(f"/api/sounds/{sound['id']}")
        assert client.service.room.held_bytes == 0

    def test_outline_of_any_stretch(self, client, tmp_path):
        draw = np.random.default_rng(0).uniform(-0.9, 0.9, (40_000, 2))
        sound = upload(client, encoded(draw, 8000))
        (tmp_path / "a.wav").write_bytes(encoded(draw, 8000))
        samples = read(tmp_path / "a.wav").samples
        low, high = samples.min(0), samples.max(0)
        ends = [(0, 5, 1), (0, 5, 10), (1, 3, 100), (1.2345, 1.24, 20), (4.9, 9, 7)]
        for start_s, end_s, points in ends:
            query = f"start_s={start_s}&end_s={end_s}&points={points}"
            told = client.get(f"/api/sounds/{sound['id']}/peaks?{query}").json()
            assert len(told["low"]) == len(told["high"]) == points
            first, last = round(start_s * 8000), round(min(end_s, 5) * 8000)
            assert min(told["low"]) == pytest.approx(low[first:last].min(), abs=2e-2)
            assert max(told["high"]) == pytest.approx(high[first:last].max(), abs=2e-2)
            assert told["end_s"] == min(end_s, 5)
        for query in ("start_s=5", "start_s=3&end_s=2", "start_s=nan", "points=0", "points=99999"):
            refusal(client.get(f"/api/sounds/{sound['id']}/peaks?{query}"), 422)

    def test_spectrogram_shows_the_tone(self, client):
        from sonograph.serve.pictures import levels, stretch

        sound = upload(client, wav(2.0, 1000.0))
        url = f"/api/sounds/{sound['id']}/spectrogram.png?width=300&height=100"
        dark, light = (client.get(f"{url}&theme={theme}") for theme in ("dark", "light"))
        assert dark.headers["content-type"] == "image/png"
        assert dark.content[:8] == light.content[:8] == b"\x89PNG\r\n\x1a\n"
        assert dark.content != light.content
        found = client.service.sounds.get(sound["id"])
        whole = levels(found, stretch(found, 0, None), 50, 100)
        heights = 50 * (8000 / 50) ** (np.arange(100) / 99)
        assert abs(heights[whole[:, 25].argmax()] - 1000) < 60
        # a band is the mean of its bins: a tone reads a little lower than it is
        assert 0 < 20 * np.log10(0.3) - whole[:, 25].max() < 7
        near = levels(found, stretch(found, 0.99, 1.01), 50, 100)
        assert abs(heights[near[:, 25].argmax()] - 1000) < 60
        refusal(client.get(f"{url}&theme=blue"), 422)

    def test_too_long_too_large_too_much(self, make: Make):
        client = make(longest_s=1.0, largest_bytes=50_000, quota_bytes=70_000)
        answer = client.post("/api/sounds", files={"file": ("a.wav", wav(1.2))})
        assert "longer than 1 s" in refusal(answer, 413)
        answer = client.post("/api/sounds", files={"file": ("a.wav", wav(3))})
        assert "larger than 50,000" in refusal(answer, 413)
        upload(client, wav(1))
        upload(client, wav(1))
        assert "disk is full" in refusal(
            client.post("/api/sounds", files={"file": ("a.wav", wav(1))}), 507
        )
        assert len(left(client.service)) == 4

    def test_unused_sounds_go(self, make: Make):
        client = make()
        sound = upload(client)
        assert client.service.sounds.sweep() == 0
        client.service.sounds.keep_s = -1.0  # as if it lay for long
        client.service.sounds.sweep()
        refusal(client.get(f"/api/sounds/{sound['id']}"), 404)
        assert left(client.service) == []


class TestJobs:
    def begin(self, client, *sounds: str, action: str = "wait", **settings):
        body = {"action": action, "sounds": sounds, "settings": settings}
        return client.post("/api/jobs", json=body)

    def test_from_queue_to_result(self, client):
        sound = upload(client, wav(), "a dog.wav")
        job = self.begin(client, sound["id"]).json()
        assert job["state"] in ("queued", "running")
        refusal(client.delete(f"/api/sounds/{sound['id']}"), 409)
        go.set()
        job = finished(client, job["id"])
        assert job["state"] == "done"
        assert job["began"] <= job["ended"]
        result = job["result"]
        assert result["summary"] == {"waited": 3}
        (made,), (file,) = result["sounds"], result["files"]
        assert (made["from"], made["part"], made["name"]) == (job["id"], "copy", "a dog-copy.wav")
        audio = client.get(f"/api/sounds/{made['id']}/audio").content
        assert audio == client.get(f"/api/sounds/{sound['id']}/audio").content
        answer = client.get(file["url"])
        assert (answer.text, answer.headers["content-type"]) == ("{}", "application/json")
        assert "a dog-notes.json" in answer.headers["content-disposition"]
        refusal(client.get(file["url"].replace("/0", "/7")), 404)
        again = self.begin(client, made["id"]).json()  # a result is a sound like any other
        assert finished(client, again["id"])["state"] == "done"
        for one in client.get("/api/jobs").json():
            assert client.delete(f"/api/jobs/{one['id']}").status_code == 204
        for one in client.get("/api/sounds").json():
            assert client.delete(f"/api/sounds/{one['id']}").status_code == 204
        assert left(client.service) == []
        assert client.service.room.held_bytes == 0

    def test_cancelled_at_once_and_nothing_is_left(self, client):
        sound = upload(client)
        job = self.begin(client, sound["id"]).json()["id"]
        while client.get(f"/api/jobs/{job}").json()["progress"]["note"] != "waiting":
            time.sleep(0.01)
        assert client.delete(f"/api/jobs/{job}").status_code == 204
        assert finished(client, job)["state"] == "cancelled"
        until(lambda: client.delete(f"/api/sounds/{sound['id']}").status_code == 204)
        until(lambda: left(client.service) == [])  # it would wait for ever

    def test_what_fails_leaves_a_line_and_nothing_else(self, client):
        sound = upload(client, name="dog.wav")
        go.set()
        for fault, words in (("input", "dog.wav is unusable"), ("crash", "the service failed")):
            job = self.begin(client, sound["id"], fault=fault).json()["id"]
            told = finished(client, job)
            assert told["state"] == "failed"
            assert words in told["error"]
            assert str(client.service.room.folder) not in told["error"]
            assert told["result"] is None
        assert not [name for name in left(client.service) if name.startswith("jobs")]

    def test_full_queue(self, make: Make):
        client = make(queue=2)
        sound = upload(client)
        first = self.begin(client, sound["id"]).json()["id"]
        while client.get(f"/api/jobs/{first}").json()["state"] == "queued":
            time.sleep(0.01)
        waiting = [self.begin(client, sound["id"]).json() for _ in range(2)]
        assert [one["place"] for one in waiting] == [1, 2]
        answer = self.begin(client, sound["id"])
        refusal(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        client.delete(f"/api/jobs/{waiting[0]['id']}")
        assert self.begin(client, sound["id"]).status_code == 202
        assert 'sonograph_jobs{state="queued"} 2' in client.get("/metrics").text

    def test_events_tell_until_the_end(self, client, monkeypatch):
        sound = upload(client)
        jobs = client.service.jobs
        info, began = jobs.info, time.monotonic()

        def until_it_can_be_told(job):
            told = info(job)
            if told.progress.seconds_left:
                go.set()
            return told

        monkeypatch.setattr(jobs, "info", until_it_can_be_told)
        job = self.begin(client, sound["id"], steps=60).json()["id"]
        with client.stream("GET", f"/api/jobs/{job}/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            told = [json.loads(line[6:]) for line in answer.iter_lines() if line[:5] == "data:"]
        assert told[-1]["state"] == "done"
        assert 2 <= len(told) <= 2 + 5 * (time.monotonic() - began)  # at most five a second
        assert any(one["progress"]["seconds_left"] for one in told[:-1])

    def test_what_does_not_fit(self, client):
        sound = upload(client)["id"]
        for body, code, words in (
            ({"action": "dance", "sounds": [sound]}, 422, "no such action"),
            ({"action": "tag", "sounds": ["x"]}, 404, "no such sound"),
            ({"action": "tag", "sounds": []}, 422, "needs one sound"),
            ({"action": "separate", "sounds": [sound] * 2}, 422, "one sound"),
            ({"action": "speak", "text": " "}, 422, "no text"),
            ({"action": "tag", "sounds": [sound], "settings": {"leest": 1}}, 422, "least"),
            ({"action": "tag", "sounds": [sound], "settings": {"least": 7}}, 422, "above 1"),
            ({"action": "tag", "sounds": [sound], "settings": {"model": "/etc"}}, 422, "no model"),
            ({"action": "tag", "sounds": [sound], "more": 1}, 422, "more"),
            ({"action": 7}, 422, "action"),
            ([], 422, "the request"),
        ):
            assert words in refusal(client.post("/api/jobs", json=body), code)
        refusal(client.post("/api/jobs", content=b"{", headers={"content-type": "text/x"}), 422)
        large = {"action": "tag", "text": "x" * (1 << 20)}
        assert "larger than" in refusal(client.post("/api/jobs", json=large), 413)
        for call in (client.get, client.delete):
            refusal(call("/api/jobs/nobody"), 404)
        refusal(client.get("/api/jobs/nobody/events"), 404)
        assert client.get("/api/jobs").json() == []

    def test_ended_jobs_are_forgotten(self, make: Make):
        client = make()
        sound = upload(client)
        go.set()
        job = self.begin(client, sound["id"]).json()["id"]
        finished(client, job)
        client.service.jobs.sweep()
        assert client.get(f"/api/jobs/{job}").status_code == 200
        until(lambda: not client.service.sounds.get(sound["id"]).users)
        client.service.jobs.keep_s = client.service.sounds.keep_s = -1.0  # as if all were old
        client.service.jobs.sweep()
        client.service.sounds.sweep()
        refusal(client.get(f"/api/jobs/{job}"), 404)
        assert left(client.service) == []
        assert client.service.room.held_bytes == 0

    def test_a_job_may_not_fill_the_disk(self, make: Make, monkeypatch):
        from sonograph.serve import service

        monkeypatch.setattr(service, "LOOK_S", 0.0)
        client = make(quota_bytes=40_000)
        sound = upload(client)
        job = self.begin(client, sound["id"]).json()["id"]
        folder = client.service.room.folder / "jobs" / job
        while not folder.exists():
            time.sleep(0.01)
        (folder / "much").write_bytes(bytes(50_000))
        assert "disk is full" in finished(client, job)["error"]
        assert not folder.exists()


class TestAccess:
    def test_strangers_are_refused(self, client):
        for host in ("evil.example", "127.0.0.1.evil.example", "", "192.168.0.7", "a@127.0.0.1"):
            refusal(client.get("/api/health", headers={"host": host}), 403)
        for host in ("localhost", "127.0.0.1:8000", "[::1]:80", "LOCALHOST"):
            assert client.get("/api/health", headers={"host": host}).status_code == 200
        for origin in ("http://evil.example", "null", "http://127.0.0.1:99", "file://"):
            refusal(client.get("/api/sounds", headers={"origin": origin}), 403)
        headers = {"host": "localhost:8000", "origin": "http://localhost:8000"}
        assert client.get("/api/sounds", headers=headers).status_code == 200
        refusal(client.get("/api/sounds", headers={"sec-fetch-site": "cross-site"}), 403)

    def test_other_machines_need_a_token(self, make: Make):
        from fastapi.testclient import TestClient

        for token, code in (("", 403), ("open sesame", 200)):
            service = make(host="0.0.0.0", token=token)
            address = ("192.168.0.9", 5000)
            client = TestClient(service.app, base_url="http://192.168.0.7", client=address)
            headers = {"authorization": f"Bearer {token}"}
            answer = client.get("/api/sounds", headers=headers)
            assert answer.status_code == code
            if code == 403:
                assert "start with --token" in refusal(answer, 403)
                assert service.get("/api/sounds").status_code == 200

    def test_token_and_session(self, make: Make):
        client = make(token="open sesame")
        for path in ("/api/sounds", "/metrics", "/openapi.json", "/nothing"):
            answer = client.get(path)
            assert "token" in refusal(answer, 401)
        assert client.get("/api/health").status_code == 200
        for wrong in ("Bearer open", "Bearer ", "Basic open sesame", "open sesame", "Bearer \xff"):
            headers = {"authorization": wrong.encode("latin-1")}
            refusal(client.get("/api/sounds", headers=headers), 401)
        headers = {"authorization": "Bearer open sesame"}
        assert client.get("/api/sounds", headers=headers).status_code == 200
        refusal(client.post("/api/session", json={"token": "no"}), 401)
        answer = client.post("/api/session", json={"token": "open sesame"})
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "sesame" not in cookie
        assert client.get("/api/sounds").status_code == 200  # by the cookie
        client.cookies.set("sonograph", "forged")
        refusal(client.get("/api/sounds", headers={"cookie": "sonograph=forged"}), 401)

    @pytest.mark.usefixtures("still")
    def test_tokens_cannot_be_tried_for_long(self, make: Make):
        client = make(token="x")
        codes = [client.post("/api/session", json={"token": "y"}).status_code for _ in range(12)]
        assert codes == [401] * 10 + [429] * 2

    @pytest.mark.usefixtures("still")
    def test_rate(self, make: Make):
        client = make(rate=1.0)
        answers = [client.get("/api/sounds") for _ in range(6)]
        assert [a.status_code for a in answers] == [200] * 4 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) >= 1
        refusal(answers[-1], 429)
        assert client.get("/api/health").status_code == 200

    def test_headers_of_every_answer(self, client):
        sound = upload(client, wav() + b"<html><script>alert(1)</script>")["id"]
        for path in ("/", "/api/sounds", f"/api/sounds/{sound}/audio", "/nothing", "/page/../app"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert client.get(f"/api/sounds/{sound}/audio").headers["content-type"] == "audio/wav"


class TestState:
    def test_health_and_metrics(self, client):
        health = client.get("/api/health").json()
        assert health["status"] == "ok"
        assert set(health["jobs"]) == {"queued", "running", "done", "failed", "cancelled"}
        client.get("/api/sounds/nobody")
        client.get("/no/such/place")
        text = client.get("/metrics").text
        route = 'method="GET",route="/api/sounds/{id}",status="404"'
        assert f"sonograph_requests_total{{{route}}} 1" in text
        assert 'route="none",status="404"' in text
        seen: set[str] = set()
        for line in text.splitlines():  # the format, line by line
            if line.startswith("# "):
                seen.add(line.split()[2])
                continue
            name, _, value = line.rpartition(" ")
            family = name.partition("{")[0]
            for end in ("_bucket", "_sum", "_count"):
                family = family.removesuffix(end) if family not in seen else family
            assert family in seen
            float(value)

    def test_actions_and_models(self, client):
        actions = {one["name"]: one for one in client.get("/api/actions").json()}
        assert actions["tag"]["models"][0] == "panns-mini"
        assert actions["tag"]["settings"]["properties"]["least"]["maximum"] == 1
        models = {one["name"]: one for one in client.get("/api/models").json()}
        assert "tag" in models["panns-mini"]["actions"]
        assert models["panns-mini"]["licence"]
        assert "folder" not in models["panns-mini"]

    def test_the_openapi_tells_every_route(self, client):
        told = client.get("/openapi.json").json()["paths"]
        assert {f"/api/now/{verb}" for verb in ("tag", "embed")} < set(told)
        for path, methods in told.items():
            for about in methods.values():
                assert about["description"] or path == "/metrics"
                assert {"401", "403", "429"} < set(about["responses"])

    def test_closing_refuses_what_is_new(self, client):
        sound = upload(client)
        client.service.end()
        answer = client.post("/api/jobs", json={"action": "wait", "sounds": [sound["id"]]})
        assert "stopping" in refusal(answer, 503)
        answer = client.post("/api/sounds", files={"file": ("a.wav", wav())})
        assert "stopping" in refusal(answer, 503)
        assert client.get("/api/health").json()["status"] == "stopping"
