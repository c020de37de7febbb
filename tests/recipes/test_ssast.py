from __future__ import annotations

from pathlib import Path

import pytest

from sonograph import registry
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.recipes import recipe_module
from sonograph.recipes.pretraining import divided
from sonograph.recipes.represent import ssast


def clips(count: int, split: str | None = None) -> Clips:
    return Clips(
        [
            Clip(f"c{n}", Path(f"c{n}.wav"), 1.0, 16_000, group=f"g{n}", split=split)
            for n in range(count)
        ]
    )


@pytest.mark.parametrize("count", [5, 9, 14, 30, 100])
def test_some_clips_are_always_held_out_and_the_test_split_is_left_alone(count):
    everything = clips(count)
    train, valid = divided(everything)
    test = {clip.id for clip in everything.split("test")}
    ids = [{clip.id for clip in part} for part in (train, valid)]
    assert all(ids)
    assert not ids[0] & ids[1]
    assert not (ids[0] | ids[1]) & test


def test_a_published_training_split_is_divided_where_there_is_no_other():
    train, valid = divided(clips(20, "train"))
    assert len(train) + len(valid) <= 20
    assert len(valid)


def test_one_clip_cannot_be_divided():
    with pytest.raises(InputError, match="1 clips are too few"):
        divided(clips(1))


def test_every_preset_has_a_recipe():
    for preset in registry.presets("ssast-*"):
        recipe = recipe_module(preset.system).recipe_of(preset.name)
        assert type(recipe).from_json(recipe.to_json()) == recipe
        assert recipe.train.steps > recipe.train.warmup_steps


def test_the_published_recipe():
    base = ssast.recipe_of("ssast-base")
    assert (base.batch, base.train.lr, base.train.schedule) == (24, 1e-4, "plateau")
    assert (base.train.optimizer, base.train.betas) == ("adam", (0.95, 0.999))
    assert base.train.weight_decay == 5e-7
    assert ssast.recipe_of("ssast-tiny").train.lr == 5e-4


def test_a_system_without_a_recipe_says_so():
    waiting = next((entry for entry in registry.systems() if not entry.built), None)
    if waiting is None:
        pytest.skip("every system is built")
    with pytest.raises(InputError, match="has no recipe to train it yet"):
        recipe_module(waiting.name)
