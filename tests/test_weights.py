"""Names to models: what loads, and what is refused in one line."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from sonograph import registry, weights
from sonograph.errors import InputError


@pytest.fixture
def folder(tmp_path):
    return weights.save_folder(tmp_path / "saved", registry.build("ssast-test"), {"name": "mine"})


def refused(path, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        weights.load(path)
    assert "\n" not in str(caught.value)


def test_half_precision_files_load_as_float32(tmp_path):
    model = registry.build("ssast-test")
    weights.save_folder(tmp_path, model, {}, dtype="float16")
    loaded = weights.load(tmp_path)
    for name, value in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], value.half().float())


def test_rules_rename_one_part_between_dots():
    one, two = torch.tensor(1), torch.tensor(2)
    rules = [("a.{}.w", "b.{}.weight"), ("x", "y")]
    assert weights.rename({"a.3.w": one, "x": two}, rules) == {"b.3.weight": one, "y": two}
    assert weights.rename({"a.3.w": one, "old.1": two}, rules, ["old.{}"]) == {"b.3.weight": one}
    with pytest.raises(InputError, match=r"'a\.3\.4\.w' that no rule knows"):
        weights.rename({"a.3.4.w": one}, rules)
    with pytest.raises(InputError, match="'axw'"):  # a dot is a dot
        weights.rename({"axw": one}, [("a.w", "b")])


def test_no_such_model(tmp_path):
    refused("nothing-like-it", "no model 'nothing-like-it'")
    refused(tmp_path, "is no model folder: config.json is missing")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda state: state.pop("norm.bias"), "lacks weights: norm.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "has unknown weights: extra"),
        (
            lambda state: state.update({"norm.bias": torch.zeros(3)}),
            "has misshapen weights: norm.bias",
        ),
        (
            lambda state: state["norm.bias"].fill_(float("nan")),
            "norm.bias holds values that are not finite",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(folder, harm, said):
    state = weights.read_tensors(folder / "model.safetensors")
    harm(state)
    save_file(state, folder / "model.safetensors")
    refused(folder, said)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_told(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, "is not a whole safetensors file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["model"]["config"].update(widht=3), "no field 'widht'. Did you mean 'width'"),
        (lambda c: c["model"]["config"].update(width="wide"), "width is of type int"),
        (lambda c: c["model"].update(system="ssats"), "no system 'ssats'"),
        (lambda c: c["model"].update(kind="oracle"), "kind 'oracle' is not known"),
        (lambda c: c["model"].pop("config"), "config"),
        (lambda c: c.pop("model"), "model"),
        (lambda c: c.update(format=99), "is of format 99"),
        (lambda c: c["model"]["config"].update(num_heads=7), "not a multiple of 7 heads"),
        (lambda c: c["model"].update(config=[1]), "config"),
    ],
)
def test_a_configuration_that_does_not_fit_is_told(folder, change, said):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    refused(folder, said)


def test_a_configuration_that_is_no_json_is_told(folder):
    for text in ("{", "[1]", "\x00"):
        (folder / "config.json").write_text(text)
        refused(folder, "config.json")


class Harm:
    """Unpickled, it makes a file: what a hostile checkpoint would do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin"])
@pytest.mark.parametrize("how", ["torch", "plain"])
def test_code_in_a_checkpoint_is_never_run(tmp_path, suffix, how):
    path, trap = tmp_path / f"bad{suffix}", tmp_path / "trap"
    content = {"weight": torch.zeros(1), "more": Harm(trap)}
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    refused(path, "does not load as plain tensors, so it is refused")
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds a list, not named weights"),
        ({"epoch": 3}, "holds no weights"),
        ({"layer.weight": torch.zeros(2)}, r"of no system that is built \(it has weights like"),
    ],
)
def test_files_without_a_known_model(tmp_path, content, said):
    torch.save(content, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", said)


def test_an_official_file_that_lacks_something_is_told(tmp_path):
    state = {"v.cls_token": torch.zeros(1, 1, 64)}
    state["v.patch_embed.proj.weight"] = torch.zeros(64, 1, 16, 16)
    torch.save(state, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "looks like ssast but does not fit")
