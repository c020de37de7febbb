"""Note predictors on a separator's trunk: shapes, targets, reading notes, learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sonograph
from sonograph import weights
from sonograph.errors import InputError
from sonograph.nn.notes import (
    Heard,
    NoteConfig,
    NoteHead,
    NoteLogits,
    NoteLoss,
    Transcriber,
    heard,
    note_targets,
    notes_of,
)
from sonograph.outputs import Note

HOP_S = 0.02
KEYS = NoteConfig(lowest_key=58, highest_key=64)


def frames(*runs: tuple[int, int, float], begins: tuple[int, ...] = ()) -> Heard:
    """Runs of (key, frames, probability)."""
    key = np.concatenate([np.full(n, k, np.uint8) for k, n, _ in runs])
    sure = np.concatenate([np.full(n, p, np.float32) for _, n, p in runs])
    peaks = np.zeros(len(key), bool)
    peaks[list(begins)] = True
    return Heard(key, sure, peaks)


def test_the_head_is_one_map_a_band_and_one_of_all() -> None:
    head = NoteHead(bands=3, width=8, band_width=4, keys=5)
    count = 3 * (8 * 4 + 4) + (3 * 4 + 1) * 10
    assert sum(p.numel() for p in head.parameters()) == count
    tokens = torch.randn(7, 2, 3, 8)
    logits = head(tokens)
    assert logits.onset.shape == logits.frame.shape == (2, 7, 5)
    weight, bias = head.of_band.weights[0], head.of_band.biases[0]
    told = [torch.nn.functional.gelu(tokens[4, 1, k] @ weight[k] + bias[k]) for k in range(3)]
    assert torch.allclose(head.out(torch.cat(told))[:5], logits.onset[1, 4], atol=1e-5)
    assert torch.sigmoid(head(torch.zeros(1, 1, 3, 8)).frame).max() < 0.1


def test_targets_of_notes() -> None:
    notes = [Note(0.05, 0.1, 60), Note(0.1, 0.141, 62.4), Note(0, 1, 30)]
    onset, frame = note_targets(notes, 10, HOP_S, KEYS)
    assert np.flatnonzero(frame[:, 2]).tolist() == [3, 4]  # centres 0.06 and 0.08
    assert np.flatnonzero(frame[:, 4]).tolist() == [5, 6, 7]
    assert np.flatnonzero(onset[:, 2]).tolist() == [1, 2, 3]
    assert np.flatnonzero(onset[:, 4]).tolist() == [4, 5, 6]
    assert frame.sum() == 5  # what lies beyond the keys is left out


def test_targets_read_back_are_the_notes() -> None:
    draw = np.random.default_rng(0)
    now, notes = 0.0, []
    while now < 6:
        end = now + draw.uniform(0.1, 0.6)
        notes.append(Note(now, end, int(draw.integers(58, 65))))
        now = end + draw.choice([0, 0.1])
    onset, frame = note_targets(notes, 400, HOP_S, KEYS)
    logits = NoteLogits(*(torch.from_numpy(part[None] * 20 - 10) for part in (onset, frame)))
    found = notes_of(heard(logits, KEYS)[0], HOP_S, KEYS)
    assert [note.pitch for note in found] == [note.pitch for note in notes]
    for made, true in zip(found, notes):
        assert made.onset_s == pytest.approx(true.onset_s, abs=0.031)
        assert made.offset_s == pytest.approx(true.offset_s, abs=0.031)


def test_notes_begin_with_a_pitch_or_a_peak_and_never_overlap() -> None:
    seen = frames((60, 10, 0.9), (60, 5, 0.2), (62, 20, 0.8), (64, 2, 0.9), begins=(16, 25))
    found = notes_of(seen, HOP_S, KEYS)
    assert [(n.pitch, round(n.onset_s, 3), round(n.offset_s, 3)) for n in found] == [
        (60, 0.0, 0.19),
        (62, 0.29, 0.5),  # the peak at 16 is its own beginning
        (62, 0.5, 0.69),
    ]  # two frames of 64 are too short
    assert found[0].score == pytest.approx(0.9)
    assert notes_of(frames((60, 9, 0.3)), HOP_S, KEYS) == ()
    assert notes_of(frames((60, 4, 0.5)), HOP_S, KEYS)[0].score == 0.5


def test_onsets_peak_once() -> None:
    onset = torch.full((1, 6, KEYS.keys), -9.0)
    onset[0, :, 2] = torch.tensor([1.0, 0.5, -1, 2, 2, 1])
    frame = torch.full((1, 6, KEYS.keys), -9.0)
    frame[0, :, 2] = 3
    seen = heard(NoteLogits(onset, frame), KEYS)[0]
    assert seen.begins.tolist() == [True, False, False, True, False, False]
    assert seen.key.tolist() == [60] * 6


@pytest.fixture(scope="module")
def model() -> Transcriber:
    return Transcriber(sonograph.build("mel-roformer-test")).eval()


@torch.no_grad()
@pytest.mark.parametrize("samples", [1, 100, 8000])
def test_any_length_gives_frames_of_its_own(model: Transcriber, samples: int) -> None:
    logits = model(torch.randn(2, model.channels, samples))
    assert logits.onset.shape == (2, 1 + samples // model.hop_samples, 61)
    assert bool(torch.isfinite(logits.frame).all())


@torch.no_grad()
def test_it_keeps_the_trunk_and_drops_the_masks(model: Transcriber) -> None:
    separator = sonograph.build("mel-roformer-test")
    masks = sum(p.numel() for p in separator.heads.parameters())
    whole = sum(p.numel() for p in separator.parameters())
    head = sum(p.numel() for p in model.head.parameters())
    assert sum(p.numel() for p in model.parameters()) == whole - masks + head
    mixture = torch.randn(1, 1, 4000)
    tokens = separator.encode(separator.spectrum(mixture))
    made = Transcriber(separator)
    made.head.load_state_dict(model.head.state_dict())
    assert torch.equal(made(mixture).frame, model.head(tokens).frame)


def test_a_folder_makes_it_again(model: Transcriber, tmp_path) -> None:
    weights.save_folder(tmp_path, model, {"name": "melody"})
    again = weights.load(tmp_path)
    assert isinstance(again, Transcriber)
    assert again.name == "melody"
    mixture = torch.randn(1, 1, 4000)
    with torch.no_grad():
        assert torch.equal(again(mixture).onset, model(mixture).onset)


def test_it_learns_a_clip() -> None:
    torch.manual_seed(0)
    model = Transcriber(sonograph.build("mel-roformer-test"))
    learner = NoteLoss(model)
    time = torch.arange(4800) / 16_000
    tone = torch.where(time < 0.15, torch.sin(2764.6 * time), torch.sin(2073.5 * time))
    notes = [Note(0.0, 0.15, 69), Note(0.15, 0.3, 64)]
    batch = {"mixture": 0.3 * tone[None, None], "notes": [notes]}
    optimizer = torch.optim.Adam(learner.parameters(), 5e-3)
    for _ in range(25):
        loss = learner(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(p.grad is not None for p in learner.parameters())
    with torch.no_grad():
        seen = heard(model(batch["mixture"]), model.notes)[0]
    found = notes_of(seen, model.hop_samples / model.rate_hz, model.notes)
    assert [note.pitch for note in found] == [69, 64]


def test_what_hears_no_notes_is_told() -> None:
    with pytest.raises(InputError, match="no tokens"):
        Transcriber(sonograph.build("mossformer2-test"))
    with pytest.raises(InputError, match="0 to 127"):
        NoteConfig(lowest_key=90, highest_key=80)
    with pytest.raises(InputError, match="odd"):
        NoteConfig(onset_frames=2)


@pytest.mark.parametrize(
    ("preset", "separator", "transcriber"),
    [
        ("mel-roformer-paper-small", 9_099_190, 5_125_900),
        ("mel-roformer-paper-large", 50_747_574, 38_547_468),
    ],
)
def test_the_two_published_sizes(preset: str, separator: int, transcriber: int) -> None:
    """24 kHz mono, frames of 20 ms: 9.1 M and 50.7 M with masks, which give way to notes."""
    model = sonograph.build(preset, device="meta")
    assert sum(p.numel() for p in model.parameters()) == separator
    with torch.device("meta"):
        made = Transcriber(model)
    assert sum(p.numel() for p in made.parameters()) == transcriber
    width = model.config.width
    head = 32 * (width * 16 + 16) + (32 * 16 + 1) * 2 * 61
    assert sum(p.numel() for p in made.head.parameters()) == head
    assert made.rate_hz / made.hop_samples == 50
