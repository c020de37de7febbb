"""The service under load: 200 small requests at once beside two long jobs, and one at a time.

A server of its own process, real recordings, tags and vectors in turn. What each request waits is
counted from when it is sent; all 200 are sent together, so the last ones wait for the first.

    python -m benchmarks.serve [REQUESTS [MINUTES [FOLDER]]]
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import Row, figure, show
from sonograph.audio.io import writer
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets

SYSTEM = "sonograph"
SHORTEST_S, LONGEST_S = 0.5, 10.0  # of the small requests' sounds
RATE_HZ = 16_000


@dataclass(frozen=True)
class Outcome:
    """waited_s: of every request that was answered; failed: the others; took_s: all of them."""

    waited_s: list[float]
    failed: int
    took_s: float

    def within(self, share: float) -> float:
        return float(np.quantile(self.waited_s, share)) if self.waited_s else float("inf")

    @property
    def rate(self) -> float:
        return len(self.waited_s) / self.took_s


def main(requests: int = 200, minutes: float = 10.0, given: str = "") -> list[Row]:
    """Failures, waiting times, throughput and memory; sounds of a folder, else the set `mini`."""
    clips = Clips.open(Path(given)) if given else open_sets(["mini"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sounds = recordings(clips, requests)
        long = folder / "long.flac"
        in_a_row(clips, long, minutes)
        server, address = started(folder)
        try:
            asyncio.run(driven(address, sounds[:2], 1))  # models are loaded, threads are there
            alone = asyncio.run(driven(address, sounds, 1))
            before = peak(server)
            together = asyncio.run(driven(address, sounds, requests))
            mixed, jobs = asyncio.run(beside_jobs(address, sounds, requests, long))
            first = peak(server)
            again, _ = asyncio.run(beside_jobs(address, sounds, requests, long))
            last = peak(server)
        finally:
            server.terminate()
            server.communicate(timeout=30)
    rows = []
    for words, found in (
        ("one at a time", alone),
        (f"{requests} at once", together),
        (f"{requests} at once beside two jobs of {minutes:g} min", mixed),
    ):
        failed = figure(f"requests that failed, {words}", found.failed, "")
        rows += [
            failed | {"at_most": 0},
            figure(f"waiting, half of them, {words}", 1e3 * found.within(0.5), "ms"),
            figure(f"waiting, 95 of 100, {words}", 1e3 * found.within(0.95), "ms"),
            figure(f"answers a second, {words}", found.rate, ""),
        ]
    gain = figure("answers a second, at once beside one at a time", together.rate / alone.rate, "")
    undone = figure("long jobs that did not end well", sum(s != "done" for s in jobs), "")
    return [
        *rows,
        gain | {"at_least": 1.0},
        undone | {"at_most": 0},
        figure("peak memory of the server, one at a time", before / 1e9, "GB"),
        figure("peak memory of the server, all of it", last / 1e9, "GB") | {"at_most": 2.0},
        figure("peak memory, the same load once more", last / first, "times") | {"at_most": 1.1},
        figure("requests that failed, the same load once more", again.failed, "") | {"at_most": 0},
    ]


def recordings(clips: Clips, count: int) -> list[bytes]:
    """Short ones as FLAC files, again from the first where there are too few."""
    import soundfile

    short = [clip for clip in clips if SHORTEST_S <= clip.duration_s <= LONGEST_S]
    chosen = [short[k] for k in np.random.default_rng(0).permutation(len(short))]
    made = []
    for clip in (chosen * (1 + count // len(chosen)))[:count]:
        file = io.BytesIO()
        soundfile.write(file, clip.read(RATE_HZ), RATE_HZ, "PCM_16", format="FLAC")
        made.append(file.getvalue())
    return made


def in_a_row(clips: Clips, path: Path, minutes: float) -> None:
    """Real recordings, one after the other."""
    left = round(60 * minutes * RATE_HZ)
    with writer(path, RATE_HZ, 1, None) as add:
        for number in range(10**6):
            sound = clips[number % len(clips)].read(RATE_HZ)[None, :left]
            add(sound)
            left -= sound.shape[1]
            if left <= 0:
                return


def started(folder: Path) -> tuple[subprocess.Popen, str]:
    """A server and its address."""
    options = ["--port", "0", "--json", "--rate", "0", "--folder", str(folder / "served")]
    server = subprocess.Popen(
        [sys.executable, "-m", "sonograph.cli", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise RuntimeError(f"the server did not start: {server.communicate()[1]}")
    return server, json.loads(line)["address"]


def peak(server: subprocess.Popen) -> int:
    """Bytes of RAM that the server held at most so far."""
    told = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+)", told)
    assert found is not None
    return 1024 * int(found[1])


async def driven(address: str, sounds: list[bytes], at_once: int) -> Outcome:
    """Every sound as a request, so many under way together."""
    import httpx

    waited, failed, gate = list[float](), 0, asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=at_once)

    async def ask(client: Any, number: int, sound: bytes) -> None:
        nonlocal failed
        verb = "tag" if number % 2 else "embed"
        async with gate:
            began = time.perf_counter()
            try:
                answer = await client.post(f"/api/now/{verb}", files={"file": ("a.flac", sound)})
            except httpx.HTTPError:
                failed += 1
                return
            if answer.status_code == 200:
                waited.append(time.perf_counter() - began)
            else:
                failed += 1

    began = time.perf_counter()
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        await asyncio.gather(*(ask(client, n, sound) for n, sound in enumerate(sounds)))
    return Outcome(waited, failed, time.perf_counter() - began)


async def beside_jobs(
    address: str, sounds: list[bytes], at_once: int, long: Path
) -> tuple[Outcome, list[str]]:
    """The same while two long sounds are tagged as jobs; how those ended."""
    import httpx

    jobs = []
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        for _ in range(2):
            sent = await client.post("/api/sounds", files={"file": ("a.flac", long.read_bytes())})
            body = {"action": "tag", "sounds": [sent.raise_for_status().json()["id"]]}
            jobs.append((await client.post("/api/jobs", json=body)).raise_for_status().json()["id"])
        found = await driven(address, sounds, at_once)
        states = []
        for job in jobs:
            while (state := (await client.get(f"/api/jobs/{job}")).json()["state"]) in (
                "queued",
                "running",
            ):
                await asyncio.sleep(0.2)
            states.append(state)
    return found, states


if __name__ == "__main__":
    kinds = (int, float, str)
    show(main(*(kind(word) for kind, word in zip(kinds, sys.argv[1:], strict=False))))
