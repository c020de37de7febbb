"""One small model end to end, its JSON, and all that can be wrong with what is asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import sonograph
from sonograph import registry, weights
from sonograph.cli import main
from sonograph.errors import InputError
from sonograph.exports import check, writing
from sonograph.exports.ports import Length
from sonograph.exports.surface import surface_of
from sonograph.exports.tracing import freedoms, reason, symbols, traced
from sonograph.infer.embed import embed
from sonograph.nn.heads import Classifier
from sonograph.outputs import Audio
from sonograph.train.adapt import adapt
from tests.exports.needs import need_export


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory) -> writing.Exported:
    """A small vocoder as ONNX: the quickest to write."""
    need_export()
    folder = tmp_path_factory.mktemp("deep") / "not" / "there"
    return sonograph.export(named("istftnet-test"), folder)


def named(preset: str):
    model = registry.build(preset).eval()
    model.name, model.card = preset, {"name": preset, "licence": "CC0"}
    return model


def test_what_is_written(vocoder):
    assert sorted(path.name for path in vocoder.file.parent.iterdir()) == [
        "istftnet-test.json",
        "istftnet-test.onnx",
    ]
    told = json.loads(vocoder.sheet.read_text())
    assert told == vocoder.told
    assert told["sha256"] == weights.sha256(vocoder.file)
    assert told["bytes"] == vocoder.file.stat().st_size
    assert told["licence"] == "CC0"
    assert told["inputs"][0]["shape"] == ["batch", 80, "frames"]
    assert told["sizes"]["batch"] == {"least": 1, "most": None}
    assert told["largest_error"] < 1e-4
    assert len(told["checked"]) >= 4
    assert {one["clips"] for one in told["checked"]} == {1, 3}


def test_onnxruntime_alone_runs_it(vocoder):
    import onnxruntime

    told = vocoder.told
    session = onnxruntime.InferenceSession(vocoder.file, providers=["CPUExecutionProvider"])
    features = np.random.default_rng(0).normal(-4, 1, (2, 80, 33)).astype(np.float32)
    (sound,) = session.run([told["outputs"][0]["name"]], {told["inputs"][0]["name"]: features})
    wanted = registry.build("istftnet-test").eval()(torch.from_numpy(features)).detach()
    assert sound.shape == (2, 33 * told["hop_samples"])
    np.testing.assert_allclose(sound, wanted, atol=1e-5 * float(wanted.abs().max()) + 1e-7)


def test_the_surface_of_an_encoder_is_what_embed_says():
    model = registry.build("ssast-test").eval()
    surface = surface_of(model)
    (sound,) = surface.draw(1, surface.length.usual, torch.Generator().manual_seed(3))
    vector, tokens = surface.module(sound)
    wanted = embed(model, Audio(sound.numpy(), surface.about["rate_hz"])).values
    assert tuple(vector.shape) == (1, surface.outputs[0].shape[1])
    assert tokens.shape[0] == 1
    np.testing.assert_allclose(vector.detach().numpy(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_an_adapted_model_with_its_delta(tmp_path):
    """A folder that holds only what was learned, beside its base: as the service keeps them."""
    base = weights.load("ssast-mini")
    adapted = adapt(Classifier(base, ["a", "b"]), "lora").eval()
    card = {"name": "mine"}
    folder = weights.save_adapted(
        tmp_path / "mine", adapted, card, weights.base_of("ssast-mini", weights.load("ssast-mini"))
    )
    surface = surface_of(weights.load(folder))
    assert surface.kind == "tagger"
    assert surface.about["labels"] == ["a", "b"]
    found = traced(surface, ("batch", "samples"))
    assert found.free == ("batch", "samples")
    inputs = surface.draw(3, surface.length.usual // 2, torch.Generator().manual_seed(1))
    ours, theirs = surface.module(*inputs), found.program.module()(*inputs)
    assert check.error_of([one.detach() for one in ours], theirs, surface) < 1e-4


def test_what_an_objective_trains_is_what_is_exported():
    module = registry.module("ssast")
    pretraining = module.Pretraining(registry.build("ssast-test"))
    assert surface_of(pretraining.eval()).kind == "encoder"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-such-model",), "no model 'no-such-model'"),
        (("panns-mini", "--format", "onxx"), "Did you mean 'onnx'?"),
        (("panns-mini", "--format", "aot", "--int8"), "int8 is written for onnx"),
        (("panns-mini", "--int8", "--loss", "2"), "--loss is 2"),
        (("panns-mini", "--int8", "--data", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_one_line_and_nothing_left(words, said, tmp_path, capsys):
    need_export()
    assert main(["export", *words, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    need_export()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        sonograph.export(named("istftnet-test"), tmp_path / "file" / "below")


def test_a_model_that_no_format_carries(tmp_path):
    need_export()
    with pytest.raises(InputError, match="one sample after another"):
        sonograph.export(named("sv2tts-wavernn-test"), tmp_path / "out")
    place = r"\(\S+\.py, line \d+, \w+\)"  # of the line that depends on data
    with pytest.raises(InputError, match=rf"torch-export cannot carry portaspeech-test: .*{place}"):
        sonograph.export(named("portaspeech-test"), tmp_path / "out", "torch-export")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_answers_otherwise_is_refused():
    surface = surface_of(registry.build("istftnet-test").eval())
    with pytest.raises(InputError, match="differs from the model by"):
        check.compared(
            lambda inputs: [surface.module(*inputs)[0].detach() * 1.1], surface, ("batch",), 8
        )
    with pytest.raises(InputError, match="shape"):
        check.compared(lambda inputs: [surface.module(*inputs)[0].detach()[:, 1:]], surface, (), 8)


def test_lengths_that_fit():
    length = Length("samples", 1000, least=250, most=2000, step=100)
    assert [length.fitted(x) for x in (1, 333, 1300, 9999)] == [300, 300, 1300, 2000]
    assert freedoms(("samples",)) == [("samples",), ()]


def test_symbols_leave_no_trace():
    from sonograph.audio import spectrum
    from sonograph.systems.speak.fastspeech import model

    before = dict(vars(spectrum)), model.mask_of
    with symbols():
        assert vars(spectrum)["len"](torch.zeros(3, 2)) == 3
        assert model.mask_of is not before[1]
    assert vars(spectrum) == before[0]
    assert model.mask_of is before[1]


def test_a_reason_is_one_line():
    assert reason(RuntimeError("first. If you would like\nsecond")) == "first"
