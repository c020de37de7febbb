from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sonograph.errors import InputError
from sonograph.nn.lowrank import (
    LowRankLinear,
    add_lowrank,
    load_lowrank,
    lowrank_state,
    merge_lowrank,
    merged_state,
)
from sonograph.nn.transformer import PreNormBlock


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(PreNormBlock(8, 2) for _ in range(2)), nn.Linear(8, 3))


def disturb(model: nn.Module) -> None:
    """B away from 0, as after training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in lowrank_state(model).values():
            value += 0.3 * torch.randn(value.shape, generator=generator)


X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(2))


def test_starts_as_the_given_model():
    model = network()
    before = model(X)
    assert torch.equal(add_lowrank(model, rank=2)(X), before)


def test_only_the_deltas_learn():
    model = add_lowrank(network(), rank=2)
    disturb(model)
    model(X).square().mean().backward()
    for name, weight in model.named_parameters():
        delta = name.endswith((".down", ".up"))
        assert weight.requires_grad == delta
        assert (weight.grad is not None and bool(weight.grad.any())) == delta


def test_where_chooses_the_layers():
    def adapted(where):
        model = add_lowrank(network(), rank=2, where=where)
        return [n for n, m in model.named_modules() if isinstance(m, LowRankLinear)]

    assert adapted("*attention.qkv") == ["0.attention.qkv", "1.attention.qkv"]
    assert adapted("1.attention.project|2") == ["1.attention.project", "2"]
    assert len(adapted("*")) == 9
    with pytest.raises(InputError, match="no linear layer of the model is called"):
        adapted("*atention.qqq")
    with pytest.raises(InputError, match="rank is 0"):
        add_lowrank(network(), rank=0)


def test_state_is_small_and_moves_the_adaptation():
    first, second = add_lowrank(network(), rank=2), add_lowrank(network(), rank=2)
    disturb(first)
    state = {name: value.clone() for name, value in lowrank_state(first).items()}
    assert sorted(state)[:2] == ["0.attention.project.down", "0.attention.project.up"]
    # per block: qkv 8 -> 24, project 8 -> 8
    assert sum(v.numel() for v in state.values()) == 2 * (2 * (8 + 24) + 2 * (8 + 8))
    assert not torch.equal(first(X), second(X))
    load_lowrank(second, state)
    assert torch.equal(first(X), second(X))
    with pytest.raises(InputError, match="one side only"):
        load_lowrank(second, dict(list(state.items())[1:]))
    with pytest.raises(InputError, match="shape"):
        load_lowrank(add_lowrank(network(), rank=3), state)


def test_merged_is_plain_and_equal():
    model = add_lowrank(network(), rank=2, alpha=5.0)
    disturb(model)
    expected = model(X)
    names = network().state_dict().keys()
    state = merged_state(model)
    assert state.keys() == names
    assert torch.equal(model(X), expected)
    plain = network()
    plain.load_state_dict(state)
    torch.testing.assert_close(plain(X), expected, rtol=0, atol=1e-6)
    merged = merge_lowrank(model)
    assert merged.state_dict().keys() == names
    assert not any(isinstance(m, LowRankLinear) for m in merged.modules())
    torch.testing.assert_close(merged(X), expected, rtol=0, atol=1e-6)


def test_formula():
    layer = LowRankLinear(nn.Linear(4, 3), rank=2, alpha=6.0, dropout=0.0)
    nn.init.normal_(layer.up)
    x = torch.randn(5, 4)
    delta = (6.0 / 2) * torch.einsum("or,ri,ni->no", layer.up, layer.down, x)
    expected = x @ layer.base.weight.T + layer.base.bias + delta
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_dropout_is_on_the_delta_alone_and_off_in_eval_mode():
    layer = LowRankLinear(nn.Linear(4, 3), rank=2, alpha=6.0, dropout=0.5)
    x = torch.randn(5, 4)
    assert torch.equal(layer(x), layer.base(x))  # B = 0: nothing to drop
    nn.init.normal_(layer.up)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.slow
def test_equals_peft():
    peft = pytest.importorskip("peft")
    ours = add_lowrank(network(), rank=2, alpha=6.0)
    disturb(ours)
    config = peft.LoraConfig(r=2, lora_alpha=6.0, target_modules=["qkv", "project"], bias="none")
    theirs = peft.inject_adapter_in_model(config, copy.deepcopy(network()))
    weights = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, value in lowrank_state(ours).items():
            layer, part = name.rsplit(".", 1)
            key = {"down": "lora_A", "up": "lora_B"}[part]
            weights[f"{layer}.{key}.default.weight"].copy_(value)
    torch.testing.assert_close(ours(X), theirs(X), rtol=0, atol=1e-6)
    learn = {n for n, w in theirs.named_parameters() if w.requires_grad}
    assert len(learn) == len(lowrank_state(ours))
    ours(X).square().mean().backward()
    theirs(X).square().mean().backward()
    ours_up = ours.get_submodule("0.attention.qkv").up.grad
    torch.testing.assert_close(
        weights["0.attention.qkv.lora_B.default.weight"].grad, ours_up, rtol=1e-4, atol=1e-6
    )
