"""Short sounds answered at once: as the verbs answer them, whoever else asks meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sonograph.infer.embed import embed
from sonograph.infer.tag import tag
from sonograph.outputs import Audio
from sonograph.serve import together
from sonograph.serve.answers import Refused
from sonograph.serve.metrics import Metrics
from sonograph.serve.now import Now
from sonograph.serve.together import Together
from tests.serve.conftest import left, refusal, wav


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of all lengths up to some windows; three fit one batch: whichever runs first, two join."""
    folder, draw = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    paths = []
    for k, seconds in enumerate((0.02, 0.8, 1.1, 1.15, 1.2, 5.0)):
        time_s = np.arange(round(16_000 * seconds)) / 16_000
        tone = 0.2 * np.sin(2 * np.pi * (200 + 150 * k) * time_s)
        paths.append(folder / f"{k}.wav")
        Audio(tone + 0.02 * draw.standard_normal(len(time_s)), 16_000).write(paths[-1])
    return paths


def at_once(do: Callable[[Path], Any], sounds: list[Path]) -> list[Any]:
    with ThreadPoolExecutor(len(sounds)) as pool:
        return list(pool.map(do, sounds))


@pytest.mark.parametrize("name", ["panns-mini"])
def test_tags_are_those_of_the_verb(house, sounds, name, monkeypatch):
    metrics, joined = Metrics(), together.joined
    first = threading.Event()

    now = Now(house, metrics)

    def slow_at_first(batch):
        """So that the others arrive while the model is busy, however slow the machine is."""
        if not first.is_set():
            first.set()
            until = time.monotonic() + 60
            while len(now.together._calls) < len(sounds) - 1 and time.monotonic() < until:
                time.sleep(0.01)
        return joined(batch)

    monkeypatch.setattr(together, "joined", slow_at_first)
    found = at_once(lambda path: now.tag(path, path.name, name), sounds)
    for path, one in zip(sounds, found, strict=True):
        alone = tag(house.get(name), path).to_json()
        assert one["name"] == path.name
        assert one["scores"] == pytest.approx(alone["scores"], abs=1e-5)
        assert one["known"] == alone["known"]
        assert len(one["spans"]) == len(alone["spans"])
        for mine, its in zip(one["spans"], alone["spans"], strict=True):
            assert mine == pytest.approx(its, abs=1e-5)
    text = metrics.text({})
    windows, batches = (
        int(text.split(f"\nsonograph_{n} ")[1].split()[0])
        for n in ("batched_windows_total", "batches_total")
    )
    assert windows > batches  # they were joined, some of them
    now.close()


@pytest.mark.parametrize("name", ["ssast-mini", "panns-mini"])
def test_vectors_are_those_of_the_verb(house, sounds, name):
    now = Now(house, Metrics())
    found = at_once(lambda path: now.embed(path, path.name, name), sounds)
    for path, one in zip(sounds, found, strict=True):
        alone = embed(house.get(name), path)
        np.testing.assert_allclose(one["vectors"][0]["values"], alone.values[0], atol=1e-5)
        assert (one["model"], one["vectors"][0]["name"]) == (alone.model, path.name)
    now.close()


def test_over_http(client):
    answer = client.post("/api/now/tag", files={"file": ("a dog.wav", wav(2))})
    assert answer.status_code == 200
    assert answer.json()["name"] == "a dog.wav"
    answer = client.post("/api/now/embed?model=panns-mini", files={"file": ("a.wav", wav(2))})
    assert answer.json()["model"] == "panns-mini"
    refused = client.post("/api/now/tag?model=voice", files={"file": ("a.wav", wav(2))})
    assert "choose of panns-mini" in refusal(refused, 422)
    refused = client.post("/api/now/tag", files={"file": ("a.wav", wav(61))})
    assert "longer than 60 s" in refusal(refused, 413)
    assert left(client.service) == []
    assert client.service.room.held_bytes == 0


class Doubles(torch.nn.Module):
    """Counts its calls; refuses what is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(features))
        if bool((features < 0).any()):
            raise ValueError("negative")
        return 2 * features.amax(2)


def test_everyone_gets_their_own_and_faults_reach_who_waits():
    together, model = Together(Metrics()), Doubles()
    held = together._changed
    with ThreadPoolExecutor(9) as pool:
        with held:  # so that all of them wait when the thread looks
            calls = [
                pool.submit(
                    together.call, model, "forward", torch.full((2, 1, 8 + k % 2), float(k)),
                    torch.tensor([8, 8]),
                )
                for k in range(8)
            ]  # fmt: skip
        assert [call.result().tolist() for call in calls] == [[[2.0 * k]] * 2 for k in range(8)]
        assert max(model.sizes) <= 8
        bad = pool.submit(
            together.call, model, "forward", torch.full((1, 1, 8), -1.0), torch.tensor([8])
        )
        with pytest.raises(ValueError, match="negative"):
            bad.result()
    together.close()
    with pytest.raises(Refused):
        together.call(model, "forward", torch.zeros(1, 1, 8), torch.tensor([8]))
