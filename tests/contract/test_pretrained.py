"""Every model goes to a folder and comes back by `save_pretrained` and `from_pretrained`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sonograph as sound
from sonograph import registry
from sonograph.errors import InputError
from sonograph.nn.heads import Classifier
from sonograph.nn.pretrained import Pretrained
from sonograph.systems.represent.ssast import SSAST
from tests.contract.cases import SMALL

MODELS = [one for one in SMALL if registry.system(one.system).task not in ("adapt", "study")]


@pytest.mark.parametrize("preset", MODELS, ids=lambda preset: preset.name)
def test_save_and_load(preset: registry.Preset, tmp_path: Path) -> None:
    model = registry.build(preset.name)
    assert isinstance(model, Pretrained)
    folder = model.save_pretrained(tmp_path / "model", {"licence": "mine"})
    again = type(model).from_pretrained(folder)
    assert type(again) is type(model)
    assert again.card["licence"] == "mine"
    state = again.state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    # a second time: with the card that it came with
    assert type(model).from_pretrained(again.save_pretrained(tmp_path / "2")).card == again.card


def test_an_adapted_model_and_the_part_of_a_model(tmp_path: Path) -> None:
    model = sound.adapt(Classifier(sound.build("ssast-test"), ["a", "b"]), "lora").eval()
    again = Classifier.from_pretrained(model.save_pretrained(tmp_path / "adapted"))
    features = torch.randn(1, model.spec.rows, 20)
    assert torch.allclose(again(features), model(features), atol=1e-6)
    assert SSAST.from_pretrained(tmp_path / "adapted").width == model.encoder.width
    with pytest.raises(InputError, match="not a SSAST"):
        SSAST.from_pretrained("voice-vocoder")


HEARD = [one for one in MODELS if registry.system(one.system).task in ("represent", "tag")]


@pytest.mark.parametrize("preset", HEARD, ids=lambda preset: preset.name)
def test_what_was_pre_trained_embeds_at_once(preset: registry.Preset, tmp_path: Path) -> None:
    module = registry.module(preset.system)
    if not hasattr(module, "Pretraining"):
        pytest.skip("this system has no pre-training of its own")
    model = registry.build(preset.name)
    learner = module.Pretraining(getattr(model, "encoder", model))
    learner.save_pretrained(tmp_path / "run")
    tone = sound.Audio(0.1 * torch.randn(1, 16_000).numpy(), 16_000)
    assert len(sound.load(tmp_path / "run").embed(tone)) == 1  # type: ignore[operator]
