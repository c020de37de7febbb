"""Melodies of recorded notes: the score is what is heard."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.pitch import f0_hz
from sonograph.audio.speech_features import voice_spec
from sonograph.data.melodies import Instrument, Melodies, _walk, read_instruments
from sonograph.data.mixtures import Pool
from sonograph.data.soundfont import Sample, SoundFont, Use
from sonograph.errors import InputError
from sonograph.outputs import Audio

RATE = 16_000


def made_bank() -> SoundFont:
    """A sawtooth at key 60 played 20 cents flat, and one that says 72 and is 66."""
    time = np.arange(22_050) / 22_050
    data, samples = [], []
    for k, (key, cents, heard) in enumerate(((60, 20, 59.8), (72, 0, 66.0))):
        hz = 440 * 2 ** ((heard - 69) / 12)
        data.append((8000 * (2 * (hz * time % 1) - 1)).astype(np.int16))
        use = Use(0, 65 + k, "Sax", "Sax", looped=True, decay_s=1.0)
        start = k * 22_050
        samples.append(
            Sample(f"s{k}", start, start + 22_050, start + 9_000, start + 22_000, 22_050, key,
                   cents, None, (use,))
        )  # fmt: skip
    return SoundFont("made", tuple(samples), 2, np.concatenate(data))


@pytest.fixture(scope="module")
def player() -> Instrument:
    bank = made_bank()
    return Instrument("sax", bank, bank.samples[:1])


@pytest.fixture(scope="module")
def band() -> Pool:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (1, 8 * RATE)).astype(np.float32)
    return Pool.of([Audio(noise, RATE)], RATE)


def test_a_key_sounds_at_its_pitch(player: Instrument) -> None:
    assert player.keys(40, 80) == list(range(55, 65))
    for key in (55, 60, 64):
        found = f0_hz(player.note(key, RATE), voice_spec())
        heard = 69 + 12 * np.log2(np.median(found[found > 0]) / 440)
        assert heard == pytest.approx(key, abs=0.05)


def test_recordings_out_of_tune_are_passed_over(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sonograph.data.melodies.read_soundfont", lambda path: made_bank())
    found = read_instruments(tmp_path)
    assert [len(one.roots) for one in found.values()] == [1]
    assert next(iter(found.values())).roots[0] == pytest.approx(59.8)


def test_walks_stay_in_range_and_do_not_overlap() -> None:
    for seed in range(30):
        notes = list(_walk(np.random.default_rng(seed), list(range(55, 65)), 4.0))
        assert notes
        for one, following in zip(notes, notes[1:] + notes[-1:]):
            assert 55 <= one.pitch <= 64
            assert 0.05 <= one.offset_s - one.onset_s <= 1.2
            assert following is one or one.offset_s <= following.onset_s + 1e-9


def test_what_is_played_is_the_score(player: Instrument, band: Pool) -> None:
    batch = Melodies([player], (48, 84), band, 4, 2 * RATE).batch(3)
    assert batch["mixture"].shape == (4, 1, 2 * RATE)
    assert torch.allclose(batch["sources"].sum(1), batch["mixture"])
    for melody, notes in zip(batch["sources"][:, 0, 0].numpy(), batch["notes"]):
        loudest = np.abs(melody).max()
        sounding = np.zeros(len(melody), bool)
        for note in notes:
            begin, end = round(note.onset_s * RATE), round(note.offset_s * RATE)
            sounding[begin:end] = True
            assert np.abs(melody[begin : begin + 800]).max() > 0.1 * loudest
        assert not melody[~sounding].any()


def test_batches_are_numbered_and_labelled_ones_come_round(player, band) -> None:
    some = Melodies([player], (48, 84), band, 2, RATE, seed=1)
    assert torch.equal(some.batch(5)["mixture"], some.batch(5)["mixture"])
    assert not torch.equal(some.batch(5)["mixture"], some.batch(6)["mixture"])
    few = Melodies([player], (48, 84), band, 2, RATE, seed=1, distinct=4)
    assert torch.equal(few.batch(0)["mixture"], few.batch(2)["mixture"])
    assert torch.equal(few.batch(0)["mixture"], some.batch(0)["mixture"])
    assert next(iter(few.start_at(1)))["notes"] == few.batch(3)["notes"]


def test_nobody_who_plays_is_told(player, band) -> None:
    with pytest.raises(InputError, match="eight keys"):
        Melodies([player], (80, 90), band, 2, RATE)
