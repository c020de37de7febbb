from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.outputs import Audio
from sonograph.recipes.tag import embedding_statistics as recipes
from sonograph.systems.tag import embedding_statistics as system

NAME = "embedding-statistics-contrastive-mini"


def test_every_preset_has_a_recipe():
    for preset in registry.presets("embedding-statistics*"):
        recipe = recipes.recipe_of(preset.name)
        assert type(recipe).from_json(recipe.to_json()) == recipe


@pytest.fixture
def tones(tmp_path: Path) -> Clips:
    """Twelve clips of two and a half seconds, each a tone of its own in noise."""
    stream, clips = np.random.default_rng(0), []
    for n in range(12):
        time = np.arange(40_000) / 16_000
        sound = 0.2 * np.sin(2 * np.pi * 150 * 1.3**n * time) + 0.02 * stream.standard_normal(
            40_000
        )
        path = tmp_path / "sounds" / f"{n}.wav"
        path.parent.mkdir(exist_ok=True)
        write(path, Audio(sound[None].astype(np.float32), 16_000))
        clips.append(Clip(f"c{n}", path, 2.5, 16_000, group=f"g{n}"))
    return Clips(clips)


@pytest.mark.slow
def test_contrast_comes_after_the_words_and_goes_on_where_it_was(tones, tmp_path, monkeypatch):
    small = dataclasses.replace(
        system.test(), labels=(), represented=12, features=system.mini().features,
        chunk_samples=8_000, micro_words=8, macro_words=4,
    )  # fmt: skip
    preset = dataclasses.replace(registry.preset(NAME), make=lambda: small)
    monkeypatch.setitem(registry._presets, NAME, preset)
    recipe = recipes.recipe_of(NAME).override(
        {"batch": 6, "word_batches": 2, "held_out_batches": 1, "contrast_s": 2.0, "workers": 0,
         "contrast_steps": 6, "train.steps": 4, "train.warmup_steps": 1, "train.eval_every": 3,
         "train.save_every": 2}
    )  # fmt: skip
    whole = recipes.pretrain(NAME, tones, tmp_path / "whole", recipe)
    assert whole.steps == 6
    encoder = weights.load_folder(tmp_path / "whole")
    assert isinstance(encoder, system.EmbeddingStatistics)
    assert encoder.width == 12
    words = weights.load_folder(tmp_path / "whole" / "words").encoder
    for name, view in words.views.state_dict().items():
        assert torch.equal(encoder.views.state_dict()[name], view)

    def broken_off(done: float, total: float | None, words: str = "") -> None:
        if total == 6 and done == 3:  # within the contrast, after what was saved at step 2
            raise RuntimeError("the machine stops here")

    with pytest.raises(RuntimeError, match="stops here"):
        recipes.pretrain(NAME, tones, tmp_path / "parts", recipe, broken_off)
    recipes.pretrain(NAME, tones, tmp_path / "parts", recipe)
    for name, value in weights.load_folder(tmp_path / "parts").state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value), name
