from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import registry, weights
from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.recipes.represent import beats as recipe
from sonograph.systems.represent import beats


@pytest.fixture(autouse=True)
def no_curves(monkeypatch) -> None:
    """Drawing takes longer than the training here."""
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    folder = tmp_path_factory.mktemp("sounds")
    found = []
    for n in range(8):
        noise = np.random.default_rng(n).standard_normal((1, 21_000)).astype(np.float32)
        path = folder / f"c{n}.wav"
        write(path, Audio(0.1 * noise, 16_000))
        found.append(Clip(f"c{n}", path, 21_000 / 16_000, 16_000, group=f"g{n}"))
    return Clips(found)


def short(iterations: int = 2) -> recipe.Recipe:
    return recipe.Recipe(
        batch=4, iterations=iterations, held_out_batches=1, workers=0, draw="clips"
    ).override({"train.steps": 2, "train.warmup_steps": 0, "train.save_every": 0})


def test_every_preset_has_a_recipe():
    found = {preset.name: recipe.recipe_of(preset.name) for preset in registry.presets("beats-*")}
    for one in found.values():
        assert recipe.Recipe.from_json(one.to_json()) == one
        assert one.train.steps > one.train.warmup_steps
    assert [found[f"beats-base-iter{k}"].iterations for k in (1, 2, 3)] == [1, 2, 3]
    base = found["beats-base-iter1"]
    assert (base.train.steps, base.train.lr, base.batch * base.crop_s) == (400_000, 5e-4, 5600)


def test_iterations_run_as_one_and_go_on_after_a_stop(clips, tmp_path):
    whole = recipe.pretrain("beats-test", clips, tmp_path / "whole", short())
    stages = tmp_path / "whole" / "stages"
    assert {p.name for p in stages.iterdir() if p.is_dir()} == {"1-encoder", "2-tokenizer"}
    first = weights.load(stages / "1-encoder")
    taught = weights.load(stages / "2-tokenizer")
    last = weights.load(tmp_path / "whole")
    assert isinstance(first.tokenizer, beats.RandomTokenizer)
    assert isinstance(taught, beats.Tokenizer)
    state = taught.state_dict()
    assert all(torch.equal(v, state[n]) for n, v in last.tokenizer.state_dict().items())
    assert whole.steps == 2
    assert {"loss", "accuracy", "perplexity"} <= set(whole.best)

    def stop(done: float, total: float | None, note: str = "") -> None:
        if "tokenizer" in note:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.pretrain("beats-test", clips, tmp_path / "cut", short(), stop)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    before = (tmp_path / "cut" / "stages" / "1-encoder" / "log.jsonl").read_bytes()
    recipe.pretrain("beats-test", clips, tmp_path / "cut", short())
    assert (tmp_path / "cut" / "stages" / "1-encoder" / "log.jsonl").read_bytes() == before
    one, other = (
        weights.read_tensors(tmp_path / n / "model.safetensors") for n in ("whole", "cut")
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())

    with pytest.raises(InputError, match="begun with iterations = 2, not 3"):
        recipe.pretrain("beats-test", clips, tmp_path / "whole", short(3))


def test_a_model_that_is_given_teaches_the_last_tokenizer(clips, tmp_path):
    recipe.pretrain("beats-test", clips, tmp_path / "one", short(1))
    teacher = {"teacher": str(tmp_path / "one")}
    recipe.pretrain("beats-test", clips, tmp_path / "two", short().override(teacher))
    kept = weights.read_tensors(
        tmp_path / "two" / "stages" / "2-tokenizer" / "training" / "model.safetensors"
    )
    wanted = weights.load(tmp_path / "one").encoder.state_dict()
    assert all(torch.equal(kept[f"teacher.{name}"], value) for name, value in wanted.items())


def test_what_cannot_be_pre_trained_is_told(tmp_path):
    with pytest.raises(InputError, match="beats-tokenizer is no encoder to pre-train"):
        recipe.pretrain("beats-tokenizer", Clips([]), Path(tmp_path))
    with pytest.raises(InputError, match="give 1 iteration or more"):
        recipe.Recipe(iterations=0)
    with pytest.raises(InputError, match="give iterations=2 or more"):
        recipe.Recipe(teacher="somewhere")
