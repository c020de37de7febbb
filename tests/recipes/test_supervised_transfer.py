"""Pre-training with labels: any encoder, exact going on, folders that load, the claim's labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import cli, weights
from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.outputs import Audio
from sonograph.recipes import FROM_LABELS, recipe_module
from sonograph.recipes.adapt import supervised_transfer as recipes
from sonograph.systems.adapt.supervised_transfer import LabelledMemory


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty tones in three classes, two pitches in each."""
    folder = tmp_path_factory.mktemp("sounds")
    draw = np.random.default_rng(0)
    for number in range(60):
        kind = number % 3
        pitch = 300 * (1 + kind) * (1 + 0.3 * (number % 2))
        wave = np.sin(np.arange(6000) * 2 * np.pi * pitch / 16_000) + 0.05 * draw.normal(size=6000)
        (folder / "abc"[kind]).mkdir(exist_ok=True)
        sound = Audio(0.3 * wave[None].astype(np.float32), 16_000)
        write(folder / "abc"[kind] / f"{number}.wav", sound)
    return folder


def short(objective: str, steps: int = 5) -> recipes.Recipe:
    return recipes.recipe_of("ssast-test").override(
        {
            "objective": objective,
            "batch": 8,
            "workers": 0,
            "model.memory": 32,
            "model.k": 4,
            "model.k_warmup": 3,
            "train.steps": steps,
            "train.warmup_steps": 0,
            "train.schedule": "constant",
            "train.eval_every": 2,
        }
    )


@pytest.mark.parametrize("objective", ["look", "cross-entropy"])
def test_a_run_that_goes_on_ends_in_equal_bits(objective, sounds, tmp_path):
    clips = Clips.open(sounds)
    recipes.pretrain("ssast-test", clips, tmp_path / "whole", short(objective))
    recipes.pretrain("ssast-test", clips, tmp_path / "cut", short(objective, 2))
    recipes.pretrain("ssast-test", clips, tmp_path / "cut", short(objective))
    for name in ("model.safetensors", "last.safetensors"):
        one, other = (weights.read_tensors(tmp_path / run / name) for run in ("whole", "cut"))
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    if objective != "cross-entropy":
        assert int(one["updates"]) == 5
        assert int(one["memory.next"]) == 5 * 8 % 32
        assert not torch.equal(one["key_encoder.module.norm.weight"], one["encoder.norm.weight"])


@pytest.mark.parametrize("objective", ["look", "supcon", "cross-entropy"])
def test_the_folder_loads_as_a_model_with_these_labels(objective, sounds, tmp_path):
    clips = Clips.open(sounds)
    summary = recipes.pretrain("ssast-test", clips, tmp_path / "run", short(objective))
    model = weights.load(tmp_path / "run")
    assert isinstance(model, Classifier if objective == "cross-entropy" else LabelledMemory)
    assert model.labels == ("a", "b", "c")
    assert model.card["task"] == "class"
    tags = model.tag(clips[0].path)
    assert sum(tags.scores.values()) == pytest.approx(1, abs=1e-5)
    assert set(summary.best) == {"step", "loss", "accuracy"}


def test_the_memory_holds_labels_of_clips_that_were_learned_from(sounds, tmp_path):
    clips = Clips.open(sounds)
    recipes.pretrain("ssast-test", clips, tmp_path / "run", short("look"))
    model = weights.load(tmp_path / "run")
    numbers = {
        int(recipes.numbers_of([clip.id])): clip.labels["class"] for clip in clips.split("train")
    }
    for place in model.memory.filled.nonzero().flatten().tolist():
        label = model.labels[int(model.memory.labels[place])]
        assert numbers[int(model.memory.ids[place])] == label


def test_learning_lowers_the_held_out_loss(sounds, tmp_path):
    clips = Clips.open(sounds)
    recipe = short("look", 40).override({"task": "class", "train.lr": 2e-3})
    before = recipes.untrained("ssast-test", clips, recipe)["loss"]
    summary = recipes.pretrain("ssast-test", clips, tmp_path, recipe)
    assert summary.best["loss"] < before


def test_one_class_teaches_nothing(tmp_path, sounds):
    clips = Clips.open(sounds).filter(lambda clip: clip.labels["class"] == "a")
    with pytest.raises(InputError, match="two at least"):
        recipes.pretrain("ssast-test", clips, tmp_path, short("look"))


def test_no_labels_say_so(tmp_path, sounds):
    bare = Clips([Clip("x", Path("x.wav"), 1.0, 16_000)])
    with pytest.raises(InputError, match="no clip has a label"):
        recipes.pretrain("ssast-test", bare, tmp_path, short("look"))


def test_the_recipe_of_an_unknown_model():
    with pytest.raises(InputError, match="ssast-test"):
        recipes.recipe_of("ssast-tset")


def test_every_name_has_the_recipe():
    assert set(FROM_LABELS) == set(recipes.NAMES)
    assert {recipe_module(system) for system in FROM_LABELS.values()} == {recipes}


# --- the verb


def train(*words: str | Path) -> int:
    return cli.main(["train", "ssast-test", *map(str, words)])


def test_trained_from_the_command_line(sounds, tmp_path, capsys):
    words = ("--data", sounds, "--objective", "supcon", "--steps", "2", "--batch", "8")
    assert train(*words, "--set", "workers=0", "-o", tmp_path / "run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["held_out"]) == {"step", "loss", "accuracy"}
    assert isinstance(weights.load(tmp_path / "run"), LabelledMemory)
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["task"] == "class"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--objective", "look", "--task", "clas"), "no clip has a label for 'clas'"),
        (("--task", "class"), "--task is for objectives that learn from labels"),
        (("--objective", "look", "--set", "model.k=x"), "model.k"),
        (("--objective", "look", "--set", "model.k=0"), "k 0"),
    ],
)
def test_what_is_wrong_is_one_line(words, said, sounds, tmp_path, capsys):
    assert train("--data", sounds, *words, "--steps", "2", "-o", tmp_path / "run") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error or said.replace("model.", "") in error


# --- the claim's labels


def labelled(source: str, *rows: dict[str, str]) -> Clips:
    return Clips(
        [
            Clip(f"{source}{n}", Path(f"{n}.wav"), 1.0, 16_000, labels=row, source=source)
            for n, row in enumerate(rows)
        ]
    )


def test_fine_labels_lie_inside_coarse_ones():
    kinds = [kind for group in recipes.KINDS.values() for kind in group]
    rows = [{"effect": kind} for kind in (*kinds, "misc") for _ in range(50)]
    task = next(one for one in recipes.NESTED if one.name == "effects")
    clips = recipes.nested_clips(task, labelled("ufoai", *rows))
    coarse_of = {(clip.labels["fine"], clip.labels["coarse"]) for clip in clips}
    assert len(coarse_of) == len(kinds) == len({fine for fine, _ in coarse_of})
    assert {coarse for _, coarse in coarse_of} == set(recipes.KINDS)
    assert len(clips) == len(kinds) * task.most


def test_too_rare_labels_and_other_corpora_are_left_out():
    task = next(one for one in recipes.NESTED if one.name == "syllables")
    rare = [{"syllable": "ㄅㄚ"}] * 20 + [{"syllable": "ㄈㄚ"}] * (task.fewest - 1)
    clips = recipes.nested_clips(task, labelled("gcin", *rare))
    assert set(clips.classes("fine")) == {"ㄅ"}
    assert not len(recipes.nested_clips(task, labelled("ufoai", *rare)))


def test_every_sound_has_one_manner():
    sounds = "".join(recipes.MANNERS.values())
    assert len(sounds) == len(set(sounds)) == 24


def test_equal_passes_in_all_arms():
    cost = {"cross-entropy": 3, "self-supervised": 6}
    for plan in recipes.SCALES.values():
        passes = {plan.updates_of(arm) * cost.get(arm, 4) for arm in plan.arms}
        assert len(passes) == 1
        assert plan.judged in plan.k
