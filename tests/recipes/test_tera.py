from __future__ import annotations

import dataclasses

import pytest
import torch

from sonograph import registry
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.recipes.arms import Question, Task
from sonograph.recipes.represent import tera as recipe
from sonograph.systems.represent import tera
from sonograph.train.finetune import Examples


def test_every_preset_has_a_recipe_along_its_axes():
    for preset in registry.presets("tera-*"):
        found = recipe.recipe_of(preset.name)
        assert type(found).from_json(found.to_json()) == found
        assert found.train.steps > found.train.warmup_steps
        assert recipe.POLICIES[found.objective] == preset.make().alteration


def test_the_published_recipe():
    base = recipe.recipe_of("tera-base")
    assert (base.batch * base.train.accumulate, base.train.lr) == (32, 2e-4)
    assert (base.train.steps, base.train.warmup_steps) == (1_000_000, 70_000)
    assert base.train.clip_norm == 5
    assert base.train.schedule == "linear"
    assert recipe.recipe_of("tera-base-100h").train.steps == 200_000
    assert recipe.recipe_of("tera-slim").train.steps == 200_000


def test_another_system_is_refused():
    with pytest.raises(InputError, match="ssast-test is not pre-trained by TERA"):
        recipe.recipe_of("ssast-test")


def test_the_arms_differ_in_their_axes_alone():
    plan = recipe.SCALES["cpu"]
    arms = [recipe.arm(plan, axes, 1) for axes in recipe.ARMS]
    assert len({arm.objective for arm in arms}) == len(arms) == 4
    assert len({dataclasses.replace(arm, objective="all").to_json() for arm in arms}) == 1


def test_the_axes_alone():
    for axes in ("time", "frequency", "magnitude"):
        policy = recipe.POLICIES[axes]
        used = (policy.time_share > 0, policy.frequency_share > 0, policy.noise_chance > 0)
        assert sum(used) == 1


def test_moments_see_a_clip_and_not_its_padding():
    x, lengths = torch.randn(3, 80, 40), torch.tensor([40, 22, 4])
    padded = torch.nn.functional.pad(x, (0, 9), value=7.0)
    for encoder in (None, tera.Tera(tera.test()).eval()):
        vectors = recipe.moments(x, lengths, encoder)
        width = 80 if encoder is None else 64
        assert vectors.shape == (3, width * (recipe.PARTS + 1))
        torch.testing.assert_close(recipe.moments(padded, lengths, encoder), vectors)
    torch.testing.assert_close(recipe.moments(x, lengths, None)[0, :80], x[0, :, :10].mean(1))


def test_a_probe_finds_what_the_features_hold():
    """Two classes that differ in their first half; a fold whose test clips are others."""
    y = torch.arange(24) % 2
    x = torch.randn(24, 80, 20)
    x[:, :, :10] += 4 * (2 * y[:, None, None] - 1)
    ids = tuple(map(str, range(24)))
    examples = Examples(x, torch.full((24,), 20), y, ("a", "b"), ids)
    fold = (list(range(16)), list(range(16, 24)))
    task = Task(Question("q", "q", (), "?"), examples, (fold,), Clips([]))
    assert recipe.probed(task, 0, None) == 1.0
