"""Notes of long sounds: windows joined, any rate and channels, silence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import sonograph
from sonograph.audio.io import write
from sonograph.errors import InputError
from sonograph.infer.transcribe import transcribe_notes
from sonograph.nn.notes import NoteLogits, Transcriber, heard, notes_of
from sonograph.outputs import Audio

RATE = 16_000


class Tuned(Transcriber):
    """Hears sines by their strongest bin: what windows do to notes shows, not what was learned."""

    def forward(self, mixture: torch.Tensor) -> NoteLogits:
        spectrum = self.trunk.spectrum(mixture).abs().mean(1)
        frames = 1 + mixture.shape[-1] // self.hop_samples
        keys = torch.arange(self.notes.lowest_key, self.notes.highest_key + 1)
        bins = 440 * 2 ** ((keys - 69) / 12) / self.rate_hz * self.trunk.config.fft_samples
        strength = spectrum[:, :frames, bins.round().long()]
        frame = torch.where(strength >= strength.amax(-1, keepdim=True), 5.0, -5.0)
        frame = torch.where(strength > 1, frame, -5.0)
        return NoteLogits(torch.full_like(frame, -9.0), frame)


@pytest.fixture(scope="module")
def model() -> Tuned:
    return Tuned(sonograph.build("mel-roformer-test")).eval()


def melody(seconds: float, keys: tuple[int, ...], rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    each = len(time) // len(keys) + 1
    hz = np.repeat([440 * 2 ** ((key - 69) / 12) for key in keys], each)[: len(time)]
    return (0.3 * np.sin(2 * np.pi * np.cumsum(hz) / rate)).astype(np.float32)[None]


def test_a_long_sound_equals_the_whole(model: Tuned) -> None:
    """Windows are 2 s: notes of 1.5 s cross them, and the notes are those of one pass."""
    keys = (81, 88, 84, 91, 86)
    sound = melody(7.3, keys)
    found = transcribe_notes(model, Audio(sound, RATE)).notes
    with torch.no_grad():
        whole = heard(model(torch.from_numpy(sound)[None]), model.notes)[0]
    assert found == notes_of(whole, model.hop_samples / RATE, model.notes)
    assert [note.pitch for note in found] == list(keys)
    assert all(a.offset_s <= b.onset_s for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("samples", [1, 255, 16_000, 32_000, 32_001, 48_000])
def test_frames_of_windows_are_as_many_as_of_the_whole(model: Tuned, samples: int) -> None:
    from sonograph.infer.transcribe import _parts

    parts = [part for part, _ in _parts(model, Audio(np.ones((1, samples), np.float32), RATE))]
    assert sum(len(part.key) for part in parts) == 1 + samples // model.hop_samples


def test_any_rate_and_channels_of_a_file(model: Tuned, tmp_path) -> None:
    sound = melody(3.0, (81, 84), 44_100)
    write(tmp_path / "a.wav", Audio(np.repeat(sound, 2, axis=0), 44_100))
    told: list[float] = []
    found = transcribe_notes(
        model, tmp_path / "a.wav", lambda done, total, words="": told.append(done)
    )
    assert [note.pitch for note in found.notes] == [81, 84]
    assert found.notes[1].onset_s == pytest.approx(1.5, abs=0.03)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(3.0)
    assert found.to_json()["notes"][0]["key"] == "A5"


def test_silence_has_no_notes(model: Tuned) -> None:
    torch.manual_seed(0)
    eager = Transcriber(sonograph.build("mel-roformer-test")).eval()
    torch.nn.init.constant_(eager.head.out.bias, 4.0)  # believes anything
    sound = np.zeros((1, 3 * RATE), np.float32)
    assert transcribe_notes(eager, Audio(sound, RATE)).notes == ()
    sound[:, RATE : 2 * RATE] = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    for note in transcribe_notes(eager, Audio(sound, RATE)).notes:
        assert note.onset_s > 0.95
        assert note.offset_s < 2.05


def test_what_is_no_transcriber_or_no_sound_is_told(model: Tuned) -> None:
    with pytest.raises(InputError, match="hears no notes"):
        transcribe_notes(sonograph.build("mel-roformer-test"), Audio(melody(1, (60,)), RATE))
    with pytest.raises(InputError, match="empty"):
        transcribe_notes(model, Audio(np.zeros((1, 0), np.float32), RATE))
