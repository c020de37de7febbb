from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.feature_spec import Frontend
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.recipes.tag import panns
from sonograph.systems.tag import panns as system


def clip(n: int, folder: Path = Path(), **labels: str) -> Clip:
    return Clip(f"c{n}", folder / f"c{n}.wav", 0.5, 32_000, group=f"g{n}", labels=labels)


@pytest.fixture
def sounds(tmp_path: Path) -> Clips:
    """Low and high tones, in two loudnesses."""
    made = []
    at = np.arange(16_000) / 32_000
    for n in range(40):
        pitch, level = ("low", 300) if n % 2 else ("high", 3000), 0.1 if n % 4 < 2 else 0.5
        wave = level * np.sin(2 * np.pi * (pitch[1] + 5 * n) * at)
        Audio(wave[None].astype(np.float32), 32_000).write(tmp_path / f"c{n}.wav")
        loud = "loud" if level > 0.2 else "soft"
        made.append(clip(n, tmp_path, pitch=pitch[0], level=loud))
    return Clips(made)


def test_labels_of_one_task_and_of_several():
    clips = Clips([clip(n, a="x" if n % 2 else "y", b="z") for n in range(6)])
    one = panns.Labels(clips, ["a"], fewest=3)
    assert one.names == ("x", "y")
    several = panns.Labels(clips, [], fewest=3)
    assert several.names == ("a: x", "a: y", "b: z")
    assert several.targets([{"a": "y", "b": "z"}, {"c": "x"}]).tolist() == [[0, 1, 1], [0, 0, 0]]
    with pytest.raises(InputError, match="0 labels have 9 clips or more"):
        panns.Labels(clips, ["a"], fewest=9)
    with pytest.raises(InputError, match="no clip has a label for 'd'"):
        panns.Labels(clips, ["d"], fewest=1)


def test_tasks_with_very_many_classes_are_left_out():
    clips = Clips([clip(n, word=str(n), kind="x" if n % 2 else "y") for n in range(60)])
    assert panns.Labels(clips, [], fewest=1).names == ("x", "y")


def test_stripes_and_mixtures_only_in_training_and_only_of_the_log_mel():
    torch.manual_seed(0)
    both = dataclasses.replace(
        system.presets.wavegram_logmel_cnn14(),
        channels=(4, 8),
        pools=(2, 2),
        wave_channels=(4, 4, 4, 32),
        embedding=4,
        labels=("x", "y"),
        frames=32_000,
    )
    clips = Clips([clip(n, a="x" if n % 2 else "y") for n in range(6)])
    labels = panns.Labels(clips, ["a"], 1)
    model = system.build(both)
    teach = panns.Teach(model, labels, panns.Recipe(mixup=0.0))
    made = Frontend(model.spec)(torch.randn(4, 32_000))
    maps = model.encoder.front(made.values, None)
    targets = torch.eye(2)[[0, 1, 1, 0]]
    altered, same = teach.altered(maps, targets, torch.Generator().manual_seed(0))
    assert torch.equal(same, targets)
    assert not torch.equal(altered[0].values, maps[0].values)
    assert torch.equal(altered[1].values, maps[1].values)
    teach.recipe = panns.Recipe(mixup=1.0)
    lengths = [system.Map(m.values, torch.tensor([5, 9, 3, 4])) for m in maps]
    mixed, soft = teach.altered(lengths, targets, torch.Generator().manual_seed(0))
    assert [len(m.values) for m in mixed] == [2, 2]
    assert mixed[0].lengths.tolist() == [9, 4]
    torch.testing.assert_close(soft.sum(1), torch.ones(2))
    assert 0 < float(soft[0, 0]) < 1
    batch = {
        "waveform": torch.randn(2, 32_000),
        "lengths": torch.tensor([32_000, 32_000]),
        "labels": [{"a": "x"}, {"a": "y"}],
    }
    model.eval()
    first, again = (teach(model, batch, torch.Generator().manual_seed(n)) for n in (0, 1))
    assert first["loss"] == again["loss"]


def test_training_leaves_a_tagger_that_tells_tones_apart(sounds, tmp_path):
    recipe = panns.recipe_of("panns-test").override(
        {"batch": 8, "train.steps": 50, "train.warmup_steps": 4, "train.lr": 5e-3,
         "train.eval_every": 50, "workers": 0, "mixup": 0.0, "tasks": ["pitch"]}
    )  # fmt: skip
    summary = panns.pretrain("panns-test", sounds, tmp_path / "run", recipe)
    assert summary.best["map"] > 0.9
    model = weights.load(tmp_path / "run")
    assert model.labels == ("high", "low")
    assert model.card["labels"] == ["high", "low"]
    heard = [model.tag(one.path).top(1)[0].label for one in sounds[:8]]
    assert heard == [one.labels["pitch"] for one in sounds[:8]]


def test_every_preset_has_a_recipe():
    for preset in registry.presets("panns-*"):
        recipe = panns.recipe_of(preset.name)
        assert type(recipe).from_json(recipe.to_json()) == recipe
        assert recipe.train.steps > recipe.train.warmup_steps


def test_the_published_recipe():
    recipe = panns.recipe_of("panns-cnn14")
    train = recipe.train
    assert (train.optimizer, train.lr, train.schedule, train.weight_decay) == (
        "amsgrad",
        1e-3,
        "constant",
        0,
    )
    assert (recipe.batch, recipe.mixup, recipe.frame_stripe, recipe.balance) == (
        32,
        1.0,
        64,
        "classes",
    )


def test_another_systems_preset_is_refused(tmp_path):
    with pytest.raises(InputError, match="not trained by the recipe of PANNs"):
        panns.pretrain("ssast-test", Clips([clip(0, a="x")]), tmp_path)
