"""Teaching a separator notes: figures, arms that begin alike, the record's rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import weights
from sonograph.data.clips import Clips
from sonograph.data.melodies import Instrument
from sonograph.data.mixtures import Pool
from sonograph.nn.notes import NoteLoss, Transcriber
from sonograph.outputs import Audio
from sonograph.recipes.separate import transcription
from sonograph.recipes.separate.transcription import Band, Scale
from tests.data.test_melodies import made_bank

RATE = 16_000
PLAN = Scale(
    seeds=1, width=16, depth=1, num_bands=8, batch=2, seconds=0.5, labelled=4,
    separation_updates=2, note_updates=2, held_out_batches=1, held_out_seconds=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def playing() -> dict[str, Band]:
    bank = made_bank()
    player = Instrument("sax", bank, bank.samples[:1])
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (1, 4 * RATE)).astype(np.float32)
    band = Band([player], Pool.of([Audio(noise, RATE)], RATE), Clips([]))
    return {"train": band, "test": band}


def test_figures_of_one_who_knows_and_one_who_does_not(playing) -> None:
    held_out = [playing["test"].melodies(3, RATE).batch(0)]
    model = Transcriber(transcription.mel_roformer.build(transcription.tiny(PLAN))).eval()

    class Knows(Transcriber):
        def forward(self, mixture):
            from sonograph.nn.notes import NoteLogits, note_targets

            rows = [note_targets(n, 51, 0.02, self.notes) for n in held_out[0]["notes"]]
            onset, frame = (torch.from_numpy(np.stack(part)) for part in zip(*rows))
            return NoteLogits(20 * onset - 10, 20 * frame - 10)

    with torch.no_grad():
        untaught = transcription.figures(NoteLoss(model), held_out)
        model.__class__ = Knows
        best = transcription.figures(NoteLoss(model), held_out)
    assert untaught["con"] == 0
    assert best["conp"] > 0.95
    assert best["loss"] < 0.01 < untaught["loss"]


def test_arms_are_taught(playing, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)  # of curves

    def quiet(title: str):
        return lambda *_: None

    found = transcription.learned(PLAN, playing, tmp_path, quiet)
    assert [len(scores) for scores in found.values()] == [1, 1, 1]
    runs = sorted(str(p.parent.relative_to(tmp_path)) for p in tmp_path.rglob("log.jsonl"))
    assert runs == [
        *("arm0-seed0/apart", "arm0-seed0/notes", "arm1-seed0/notes", "arm2-seed0/notes"),
    ]


def rows(*conp: float) -> list[dict[str, float]]:
    return [{"loss": 1.0, "con": v, "conp": v, "conpoff": v / 2} for v in conp]


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ((0.8, 0.82, 0.81), "shown"),
        ((0.4, 0.41, 0.4), "not shown"),
        ((0.5, 0.9, 0.3), "inconclusive"),
    ],
)
def test_the_rule_decides(first: tuple[float, ...], verdict: str) -> None:
    found = {
        transcription.FIRST: rows(*first),
        transcription.SECOND: rows(0.6, 0.6, 0.61),
        transcription.THIRD: rows(0.1, 0.1, 0.1),
    }
    record = transcription.transcription_record(found, Scale(), ("timgm6mb",))
    assert record.verdict == verdict
    assert record.measured[0].value == pytest.approx(sum(first) / 3 - 1.81 / 3)
    assert "240 updates on those melodies" in record.rule
    assert record.details["figures"][transcription.THIRD][0]["conpoff"] == 0.05


def test_the_bundled_one_is_written_with_its_card(playing, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(transcription, "bands", lambda rate, folder=None: playing)
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)
    monkeypatch.setattr(transcription, "BUNDLED_BATCH", 1)
    monkeypatch.setattr(transcription, "BUNDLED_SECONDS", 0.3)
    monkeypatch.setattr(transcription, "MEASURED_BATCHES", 1)
    monkeypatch.setattr(transcription, "MEASURED_BATCH", 1)
    monkeypatch.setattr(transcription, "MEASURED", {"alone": (40.0, 40.0)})
    plan = transcription.BUNDLED_PLAN.override(steps=1)
    found = transcription.bundled(tmp_path, plan=plan)
    assert found["alone"]["conp"] == 0
    model = weights.load(tmp_path)
    assert isinstance(model, Transcriber)
    assert model.card["measured"]["f1"] == found
    assert "no singer" in model.card["limits"]
