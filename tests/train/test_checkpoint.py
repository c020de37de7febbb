from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from sonograph.errors import InputError
from sonograph.train import checkpoint


def test_tied_and_strided_weights_are_written(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    path = tmp_path / "w.safetensors"
    checkpoint.write_tensors(path, {"a": weight, "b": weight, "c": weight.T})
    read = load_file(path)
    assert torch.equal(read["a"], weight)
    assert torch.equal(read["b"], weight)
    assert torch.equal(read["c"], weight.T)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_only_the_newest_state_stays_and_unfinished_ones_are_cleared(tmp_path):
    states = tmp_path / "state"
    checkpoint.prepare_folder(tmp_path)
    for step in (9, 10):
        checkpoint.write_state(states, step, {"model": {"x": torch.ones(1) * step}}, {"step": step})
    assert [p.name for p in states.iterdir()] == ["state-000000010"]
    torn = states / f"{checkpoint.PARTIAL}state-000000011"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    assert checkpoint.newest_state(states).name == "state-000000010"
    checkpoint.prepare_folder(tmp_path)
    assert not torn.exists()
    assert checkpoint.read_values(states / "state-000000010") == {"step": 10}


def test_floats_survive_the_json_exactly(tmp_path):
    value = 0.1 + 0.2
    checkpoint.write_state(tmp_path / "state", 1, {}, {"best": value})
    assert checkpoint.read_values(checkpoint.newest_state(tmp_path / "state"))["best"] == value


def test_weights_of_another_model_are_named(tmp_path):
    model = torch.nn.Linear(2, 3)
    good = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    checkpoint.fill_model(model, good, tmp_path)
    assert torch.equal(model.weight, good["weight"])
    with pytest.raises(InputError, match="lacks 'bias'"):
        checkpoint.fill_model(model, {"weight": good["weight"]}, tmp_path)
    with pytest.raises(InputError, match=r"'wieght'.*Did you mean 'weight'"):
        checkpoint.fill_model(model, good | {"wieght": good["weight"]}, tmp_path)
    with pytest.raises(InputError, match=r"shape \(2,\), the model's is \(3,\)"):
        checkpoint.fill_model(model, good | {"bias": torch.ones(2)}, tmp_path)


def test_broken_files_are_one_line(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        checkpoint.read_tensors(tmp_path / "bad.safetensors")
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(InputError, match="delete that folder"):
        checkpoint.read_values(tmp_path)
