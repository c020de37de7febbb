"""Every kind of model through both formats; which carry all systems is a record of benchmarks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sonograph
from benchmarks.export_formats import carried, model_of
from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.exports.int8 import Int8
from sonograph.exports.surface import surface_of
from sonograph.outputs import Audio
from tests.exports.needs import need_export

SMALL = [preset.name for preset in registry.presets("*-test")]
# what no format carries, and the words that say why
NONE = {
    "portaspeech-test": "data-dependent",
    "sv2tts-test": "manual_seed",
    "sv2tts-rtvc-test": "manual_seed",
    "sv2tts-wavernn-test": "one sample after another",
    "sv2tts-wavenet-test": "one sample after another",
}
BOTH_FREE = {"ssast-test", "ssamba-test", "panns-test", "istftnet-test", "mel-roformer-test"}
ONNX = ("ssamba-test", "panns-test", "fastspeech-test", "mossformer2-test")  # a kind each


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_torch_export_carries_it_or_says_why(name):
    told = carried(name, "torch-export")
    if name in NONE:
        assert isinstance(told, str)
        assert NONE[name] in told
        return
    assert isinstance(told, dict), told
    assert told["value"] < 1e-4
    if name in BOTH_FREE:
        assert len(told["free"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ONNX)
def test_onnx_carries_it(name):
    need_export()
    told = carried(name, "onnx")
    assert isinstance(told, dict), told
    assert told["value"] < 1e-4
    assert told["free"] == (["tokens"] if name == "fastspeech-test" else ["batch", "samples"])


ASKED = "anything"  # it has to be asked for something first


def test_a_model_that_has_to_be_asked():
    with pytest.raises(InputError, match="asked for something first"):
        surface_of(model_of(ASKED))
    model = weights.load(ASKED)
    dog = model.asked({"dog": model.condition_of_class("dog")})
    assert [port.name for port in surface_of(dog).outputs]


@pytest.mark.parametrize("name", [*(set(weights.bundled()) - {ASKED}), *(set(SMALL) - set(NONE))])
def test_every_model_has_a_surface(name):
    surface = surface_of(model_of(name))
    for port in (*surface.inputs, *surface.outputs):
        assert port.words
    drawn = surface.draw(surface.batches[-1], surface.length.least, torch.Generator())
    for value, port in zip(drawn, surface.inputs, strict=True):
        assert str(value.dtype) == f"torch.{port.dtype}"
        fixed = [axis for axis in port.shape if isinstance(axis, int)]
        assert [n for n, axis in zip(value.shape, port.shape) if isinstance(axis, int)] == fixed


def sounds(count: int = 6) -> list[Audio]:
    draw = np.random.default_rng(0)
    time_s = np.arange(80_000) / 16_000
    made = []
    for k in range(count):
        tone = np.sin(2 * np.pi * 200 * (k + 1) * time_s) * np.exp(-k * time_s)
        noise = 0.1 * draw.standard_normal(len(time_s))
        made.append(Audio((0.2 * tone + noise)[None].astype(np.float32), 16_000))
    return made


@pytest.mark.slow
def test_int8_is_half_as_large_and_refused_where_it_costs_too_much(tmp_path):
    need_export()
    small = sonograph.export("panns-mini", tmp_path / "small", int8=Int8(sounds(), 0.3)).told
    assert small["bytes"] < 0.6 * small["int8"]["bytes_before"]
    assert 0 < small["int8"]["loss"] < 0.3
    with pytest.raises(InputError, match=r"8 bits change what panns-mini says by \d+\.\d%"):
        sonograph.export("panns-mini", tmp_path / "refused", int8=Int8(sounds(), 1e-6))
    assert not (tmp_path / "refused").exists()
