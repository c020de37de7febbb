"""`sonograph compress`: repair without labels, resumed exactly; the cut alone; what is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sonograph import cli, registry, weights
from sonograph.recipes.adapt.pela import RECIPE, repair
from sonograph.systems.adapt.pela import PELA


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """An encoder, its pre-training objective, and twelve sounds without labels."""
    folder = tmp_path_factory.mktemp("compress")
    (folder / "sounds").mkdir()
    for k in range(12):
        sound = np.sin(np.arange(16_000) * 2 * np.pi * (200 + 150 * k) / 16_000)
        noise = np.random.default_rng(k).normal(size=16_000)
        soundfile.write(folder / "sounds" / f"{k}.wav", 0.3 * sound + 0.05 * noise, 16_000)
    encoder = registry.build("ssast-test", seed=0)
    weights.save_folder(folder / "dense", encoder, {"name": "dense"})
    torch.manual_seed(0)
    objective = registry.module("ssast").Pretraining(encoder)
    weights.save_folder(folder / "objective", objective, {"name": "objective"})
    return folder


def command(place: Path, *more: str, model: str = "dense") -> list[str]:
    return ["compress", str(place / model), "--data", str(place / "sounds"), *more]


@pytest.mark.parametrize(
    ("model", "objective", "kind"),
    [
        ("dense", "distil", "compressed"),
        ("dense", "pretraining", "pretraining"),
        ("objective", "pretraining", "pretraining"),
        ("objective", "distil", "compressed"),
    ],
)
def test_repairs_without_labels(place, tmp_path, capsys, monkeypatch, model, objective, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SONOGRAPH_DATA", str(tmp_path / "data"))
    more = ("--objective", objective, "--steps", "4", "--batch", "4", "-o", "small", "--json")
    assert cli.main(command(place, *more, model=model)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parameters"] < 0.75 * told["parameters_before"]
    assert told["macs"] < 0.75 * told["macs_before"]
    assert {"features", "weights", "loss"} <= told["held_out"].keys()
    small = weights.load("small")
    assert small.describe()["kind"] == kind
    encoder = getattr(small, "encoder", small)
    assert encoder.describe()["ratio"] == 2.0
    card = json.loads(Path("small/card.json").read_text())
    assert card["thin_layers"] == 8
    assert card["parameters"] == told["parameters"]
    assert cli.main(["embed", str(place / "sounds" / "1.wav"), "--model", "small", "--json"]) == 0


class Enough(Exception):
    """A run is stopped from outside."""


def test_goes_on_to_the_same_bits(place, tmp_path):
    from sonograph.data.clips import Clips

    clips = Clips.open(place / "sounds")
    quick = {"train.steps": 6, "train.eval_every": 3, "train.warmup_steps": 2, "workers": 0}
    recipe = RECIPE.override({**quick, "batch": 4, "held_out_batches": 1})

    def go(name: str, method: PELA, steps: int = 6) -> None:
        def tell(done: float, total: float | None, note: str = "") -> None:
            if steps < 6 and done == steps + 1:
                raise Enough

        model = weights.load(place / "dense")
        changed = recipe.override({"train.save_every": 1})
        with contextlib.suppress(Enough):
            repair(model, clips, tmp_path / name, method, changed, progress=tell)

    go("straight", PELA())
    go("stopped", PELA(), steps=3)
    assert not (tmp_path / "stopped" / "config.json").exists()
    go("stopped", PELA())
    one, other = (
        weights.read_tensors(tmp_path / name / weights.WEIGHTS) for name in ("straight", "stopped")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_cut_alone_takes_no_sound(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    more = ["--steps", "0", "--ratio", "3", "-o", "cut"]
    assert cli.main(["compress", str(place / "dense"), *more]) == 0
    assert "weights" in capsys.readouterr().out
    assert weights.load("cut").describe()["ratio"] == 3.0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--ratio", "0.5"), "at least 1"),
        (("--method", "lora"), "does not compress"),
        (("--method", "pelo"), "no method 'pelo'"),
        (("--method", "pela-svd"), "nothing to repair"),
        (("--set", "logits=1"), "without labels there are no logits"),
        (("--set", "where=nothing"), "no linear layer"),
        (("--set", "raito=2"), "no setting 'raito'"),
        (("--objective", "both"), "objective"),
    ],
)
def test_what_cannot_be_done_is_one_line(place, tmp_path, monkeypatch, capsys, more, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SONOGRAPH_DATA", str(tmp_path / "data"))
    if "where=nothing" in more:
        more = (*more, "--steps", "0")
    assert cli.main(command(place, *more, "-o", "small")) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len([line for line in said.splitlines() if line.startswith("sonograph:")]) == 1


def test_models_that_cannot_be_compressed(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compress", str(place / "dense"), "--steps", "0", "-o", "cut"]) == 0
    assert cli.main(["compress", "cut", "--steps", "0", "--ratio", "3", "-o", "again"]) == 2
    assert "compressed already, at ratio 2" in capsys.readouterr().err
    assert cli.main(["compress", "cut", "--steps", "0", "-o", "cut"]) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert cli.main(["compress", "no-such-model"]) == 2
    assert "no model 'no-such-model'" in capsys.readouterr().err
