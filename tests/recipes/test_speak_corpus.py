from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sonograph.audio.feature_spec import Frontend
from sonograph.audio.io import Audio, write
from sonograph.audio.speech_features import voice_spec
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.recipes.speak import corpus
from sonograph.recipes.speak.corpus import Speech, SpeechBatches

SPEC = voice_spec()


def letters(clip: Clip) -> tuple[list[int], list[int]]:
    """One token a letter, by its place in the alphabet; words are told apart by spaces."""
    words = (clip.text or "").lower().split()
    if "ü" in (clip.text or ""):
        raise InputError("ü has no sound")
    pairs = [(ord(c) - 96, k) for k, word in enumerate(words) for c in word if c.isalpha()]
    return [a for a, _ in pairs], [b for _, b in pairs]


def sound(seconds: float, seed: int = 0, silence_s: float = 0.2) -> np.ndarray:
    time = np.arange(round(seconds * 16000)) / 16000
    voice = 0.3 * np.sin(2 * np.pi * (150 + 10 * seed) * time)
    still = np.zeros(round(silence_s * 16000))
    return np.concatenate([still, voice, still]).astype(np.float32)


@pytest.fixture
def clips(tmp_path):
    texts = ["a cat", "dogs run", "one two three", "it is", "we go home now", "so be it"]
    rows = [(f"clip{k}", text, 0.5 + 0.15 * k) for k, text in enumerate(texts)]
    rows += [("mute", None, 0.5), ("beep", "hello [beep]", 0.5), ("long", "long", 13.0)]
    rows += [("hasty", "far too many letters for so little", 0.2), ("odd", "über", 0.5)]
    made = []
    for k, (name, text, seconds) in enumerate(rows):
        path = tmp_path / f"{name}.wav"
        write(path, Audio(sound(seconds, k)[None], 16000))
        made.append(Clip(name, path, seconds + 0.4, 16000, text=text))
    return Clips(made)


@pytest.fixture
def speech(clips, tmp_path):
    return Speech.prepare(clips, SPEC, letters, tmp_path / "kept")


def test_what_cannot_be_learned_from_is_listed(speech):
    why = {one.id: one.why for one in speech.dropped}
    assert set(why) == {"mute", "beep", "long", "hasty", "odd"}
    assert why["mute"] == "it has no text"
    assert "tones" in why["beep"]
    assert why["long"] == "it is longer than 12 s"
    assert "fewer than its 28 tokens" in why["hasty"]
    assert "ü has no sound" in why["odd"]
    assert len(speech) == 6


def test_silence_is_cut_but_for_a_margin(speech):
    for item in speech.items:
        assert item.start_s == pytest.approx(0.15, abs=0.021)
        seconds = item.end_s - item.start_s
        assert item.frames == SPEC.frames(round(seconds * 16000))
    assert corpus.voiced_bounds(np.zeros(800), 16000) == (0, 800)


def test_batches_hold_what_was_measured(speech, clips):
    batch = speech.batch([0, 4])
    assert batch.text.lengths.tolist() == [4, 11]
    assert batch.text.ids[0, :4].tolist() == [1, 3, 1, 20]
    assert batch.text.ids[0, 4:].sum() == 0
    assert (batch.text.words.diff(dim=1) >= 0).all()
    item = speech.items[0]
    wave = clips[0].read(16000)[round(item.start_s * 16000) : round(item.end_s * 16000)]
    want = Frontend(SPEC)(torch.from_numpy(wave.copy())[None]).values[0]
    torch.testing.assert_close(batch.features[0, :, : item.frames], want)
    assert batch.features[0, :, item.frames :].abs().sum() == 0
    assert batch.pitch_hz is not None
    assert batch.energy is not None
    assert batch.pitch_hz[0, 8:20].mean().item() == pytest.approx(150, rel=0.01)
    assert (batch.energy[0, 8:20] > 1).all()
    assert batch.durations is None


def test_a_batch_depends_on_its_number_alone(speech):
    stream = iter(SpeechBatches(speech, 2, 200, seed=3).start_at(0))
    first = [next(stream) for _ in range(7)]
    again = SpeechBatches(speech, 2, 200, seed=3)
    torch.testing.assert_close(next(iter(again.start_at(5))), first[5])
    torch.testing.assert_close(again.batch(2), first[2])
    seen = sorted(row for k in range(3) for row in again.rows(k))
    assert seen == list(range(6))
    frames = [batch.features.shape[2] * len(batch.lengths) for batch in first]
    assert max(frames) <= 200
    assert [again.rows(k) for k in range(9)] != [
        SpeechBatches(speech, 2, 200, seed=4).rows(k) for k in range(9)
    ]


def test_workers_make_the_same_batches(speech):
    plain = iter(SpeechBatches(speech, 2, seed=1))
    helped = iter(SpeechBatches(speech, 2, seed=1, workers=1))
    for _ in range(3):
        torch.testing.assert_close(next(helped), next(plain))


def test_measured_once(clips, speech, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise AssertionError("it is there already")

    monkeypatch.setattr(corpus, "_measured", fail)
    again = Speech.prepare(clips, SPEC, letters, tmp_path / "kept")
    assert [item.kept for item in again.items] == [item.kept for item in speech.items]
    other = SPEC.override(bins=40)
    with pytest.raises(AssertionError, match="there already"):
        Speech.prepare(clips, other, letters, tmp_path / "kept")


def test_every_clip_is_in_one_part(speech):
    many = Speech(
        SPEC,
        [dataclasses.replace(speech.items[0], id=f"clip {k}") for k in range(400)],
        [],
    )
    parts = [{item.id for item in many.part(name).items} for name in ("train", "valid", "test")]
    assert set.union(*parts) == {item.id for item in many.items}
    assert sum(map(len, parts)) == 400
    assert 330 < len(parts[0]) < 385
    assert all(len(part) > 5 for part in parts)


def test_in_order_gives_every_clip_once(speech):
    found = list(corpus.in_order(speech, 4, 150))
    assert sum(len(batch.lengths) for batch in found) == 6
    assert all(batch.features.shape[2] * len(batch.lengths) <= 150 for batch in found)


def test_statistics_are_of_voiced_frames(speech):
    found = speech.statistics()
    assert 150 < found["pitch_hz"][0] < 200
    assert found["energy"][1] > 0
    assert speech.mean_features().shape == (80,)


def test_scores_that_fall_out_are_listed_worst_first(speech):
    random = np.random.default_rng(0)
    items = [
        dataclasses.replace(speech.items[0], id=str(k), ids=(1,) * (5 + k % 40)) for k in range(200)
    ]
    many = Speech(SPEC, items, [])
    scores = -0.3 * np.log([len(item.ids) for item in items]) + 0.05 * random.standard_normal(200)
    scores[[17, 50]] -= [0.6, 1.2]
    found = corpus.suspicious(many, scores, limit=5)
    assert [one.id for one in found] == ["50", "17"]
    with pytest.raises(InputError, match="3 scores for 200 clips"):
        corpus.suspicious(many, scores[:3])


def test_nothing_to_learn_from_is_an_error(clips, tmp_path):
    with pytest.raises(InputError, match=r"none of 1 clips can be learned from .*no text"):
        Speech.prepare(clips.filter(lambda c: c.id == "mute"), SPEC, letters, tmp_path)
    with pytest.raises(InputError, match="no clips to make batches of"):
        SpeechBatches(Speech(SPEC, [], []), 2)
