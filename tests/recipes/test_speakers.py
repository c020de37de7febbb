"""Training of synthesizers with a vector for each clip, and of vocoders sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.io import Audio, write
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.recipes.speak import speakers, sv2tts
from sonograph.recipes.speak.corpus import Speech, SpeechBatches, encode_with

TEXTS = ("a cat", "dogs run", "one two three", "it is", "we go home now", "so be it")


@pytest.fixture
def clips(tmp_path) -> Clips:
    made = []
    for k, text in enumerate(TEXTS):
        path, time = tmp_path / f"{k}.wav", np.arange(round(16000 * (0.8 + 0.1 * k))) / 16000
        buzz = sum(np.sin(2 * np.pi * (100 + 20 * k) * n * time) / n for n in (1, 2, 3))
        write(path, Audio(0.1 * buzz[None].astype(np.float32), 16000))
        made.append(Clip(f"clip{k}", path, len(time) / 16000, 16000, text=text, language="en"))
    return Clips(made)


def test_every_text_has_the_vector_of_its_clip(clips, tmp_path):
    speech = Speech.prepare(
        clips, registry.build("sv2tts-test").spec, encode_with("arpabet"), tmp_path
    )
    listener = registry.build("sv2tts-encoder-test")
    vectors = speakers.vectors_of(clips, speech, listener, tmp_path)
    assert list(vectors) == [item.id for item in speech.items]
    torch.testing.assert_close(vectors["clip2"], listener.embed(clips[2].read(16000)))
    other = registry.build("sv2tts-encoder-test", seed=1)  # what is kept is not asked again
    again = speakers.vectors_of(clips, speech, other, tmp_path)
    assert all(torch.equal(again[name], vectors[name]) for name in vectors)
    stream = speakers.Told(SpeechBatches(speech, 2, 500), vectors)
    told = [batch for batch, _ in zip(stream.start_at(0), range(5))]
    batch, given = next(iter(stream.start_at(4)))
    assert torch.equal(told[4][1], given)
    for ids, vector in zip(batch.text.ids, given):
        name = next(n for n, v in vectors.items() if torch.equal(v, vector))
        item = next(item for item in speech.items if item.id == name)
        assert ids[ids > 0].tolist() == list(item.ids)


def test_a_voice_learns_and_loads(clips, tmp_path):
    recipe = sv2tts.recipe_of("sv2tts-test").override({"train.steps": 12, "train.eval_every": 0})
    listener = registry.build("sv2tts-encoder-test")
    speakers.train_voice("sv2tts-test", clips, tmp_path / "run", recipe, listener)
    voice = weights.load(tmp_path / "run" / "voice")
    assert "consent" in voice.card["summary"]
    vectors = weights.read_tensors(tmp_path / "run" / "measured" / speakers.VECTORS).values()
    mean = torch.stack(list(vectors)).mean(0)
    torch.testing.assert_close(voice.voice, mean / mean.norm())
    other = registry.build("sv2tts-encoder-test", **{"encoder.embedding": 8})
    with pytest.raises(InputError, match="gives 8 numbers, sv2tts-test takes 16"):
        speakers.train_voice("sv2tts-test", clips, tmp_path / "other", recipe, other)


@pytest.mark.slow
def test_a_vocoder_learns(clips, tmp_path):
    recipe = sv2tts.recipe_of("sv2tts-wavernn-test")
    one, many = (recipe.override({"train.steps": n, "train.eval_every": 0}) for n in (1, 25))
    sv2tts.pretrain("sv2tts-wavernn-test", clips, tmp_path / "one", one)
    sv2tts.pretrain("sv2tts-wavernn-test", clips, tmp_path / "many", many)
    before, after = (
        weights.load(tmp_path / name / "voice").card["held_out"]["loss"] for name in ("one", "many")
    )
    assert after < before


@pytest.mark.parametrize(
    "name", ["sv2tts", "sv2tts-mini", "sv2tts-rtvc", "sv2tts-encoder", "sv2tts-wavernn"]
)
def test_every_kind_has_a_recipe(name):
    recipe = sv2tts.recipe_of(name)
    assert recipe.train.steps > sv2tts.recipe_of("sv2tts-test").train.steps
    assert speakers.Recipe.from_dict(recipe.to_dict()) == recipe
