"""Additions beside layers: they begin as nothing, merge to plain weights, and are kept apart."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sonograph import registry
from sonograph.errors import InputError
from sonograph.nn import adaptation
from sonograph.nn.adaptation import Adapted, base_state, delta_state, load_delta, merge
from sonograph.nn.lowrank import LowRank
from sonograph.nn.targets import select, targets
from sonograph.nn.transformer import PreNormBlock
from sonograph.train.adapt import adapt
from tests.contract.cases import TESTED

X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(2))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(PreNormBlock(8, 2) for _ in range(2)), nn.Linear(8, 3))


def disturb(model: nn.Module) -> None:
    """What learns away from where it starts, as after training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.3 * torch.randn(weight.shape, generator=generator)


def adapted(method: str = "lora", **settings) -> nn.Module:
    return adapt(network(), method, head="none", **settings)


@pytest.mark.parametrize("method", ["lora", "svfit", "svfit-absolute", "svfit+lora"])
@pytest.mark.parametrize("where", ["", "attention.*", "*"])
def test_starts_as_the_given_model_and_merges_into_plain_weights(method, where):
    settings = {"where": where} | ({"rank": 2} if "lora" in method else {})
    model = adapted(method, **settings)
    assert torch.equal(model(X), network()(X))
    disturb(model)
    expected = model(X)
    assert not torch.allclose(expected, network()(X))
    merged = merge(model)
    assert merged.state_dict().keys() == network().state_dict().keys()
    torch.testing.assert_close(merged(X), expected, rtol=1e-5, atol=1e-5)


def test_only_the_additions_learn():
    model = adapted("lora", rank=2)
    disturb(model)
    model(X).square().mean().backward()
    for name, weight in model.named_parameters():
        delta = name.endswith((".down", ".up"))
        assert weight.requires_grad == delta
        assert (weight.grad is not None and bool(weight.grad.any())) == delta


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("", ["0.attention.query", "0.attention.value", "1.attention.query", "1.attention.value"]),
        ("*attention.qkv", ["0.attention.qkv", "1.attention.qkv"]),
        ("qkv|2", ["0.attention.qkv", "1.attention.qkv", "2"]),
        ("1.attention.project|2", ["1.attention.project", "2"]),
        ("0.attention.*", [f"0.attention.{n}" for n in ("query", "key", "value", "project")]),
    ],
)
def test_where_chooses_the_layers(where, names):
    assert [target.name for target in select(network(), where)] == names


def test_a_pattern_that_fits_nothing_is_answered():
    with pytest.raises(InputError, match=r"no layer is called '\*atention.qqq'.*Among those"):
        select(network(), "*atention.qqq")
    with pytest.raises(InputError, match="no linear or convolutional layer to adapt"):
        select(nn.ReLU(), "")


def test_an_adapted_layer_is_found_under_its_own_name():
    before = [target.name for target in targets(network())]
    assert [target.name for target in targets(adapted("lora", rank=2, where="*"))] == before


def test_what_is_kept_is_small_and_moves_the_adaptation():
    first, second = adapted("lora", rank=2), adapted("lora", rank=2)
    disturb(first)
    state = {name: value.clone() for name, value in delta_state(first).items()}
    assert sum(v.numel() for v in state.values()) == 2 * 2 * 2 * (8 + 8)
    assert base_state(first).keys() == network().state_dict().keys()
    load_delta(second, state, "here")
    assert torch.equal(first(X), second(X))
    with pytest.raises(InputError, match="here lacks weights"):
        load_delta(second, dict(list(state.items())[1:]), "here")
    with pytest.raises(InputError, match="has shape"):
        load_delta(adapted("lora", rank=3), state, "here")
    with pytest.raises(InputError, match="unknown weights: 7"):
        load_delta(second, {**state, "7": torch.zeros(1)}, "here")
    name = next(iter(state))
    with pytest.raises(InputError, match="not finite"):
        load_delta(second, {**state, name: state[name] / 0}, "here")


def test_svfit_keeps_singular_values_alone():
    state = delta_state(adapted("svfit"))
    assert {name.rpartition(".")[2] for name in state} == {"change"}
    assert sum(v.numel() for v in state.values()) == 2 * 2 * 8


def test_a_shared_copy_holds_no_second_base():
    model = network()
    copied = adaptation.shared_copy(model)
    assert copied is not model
    for one, other in zip(model.parameters(), copied.parameters()):
        assert one is other
    adaptation.own(copied, ["2.bias"])
    with torch.no_grad():
        copied[2].bias += 1
    assert not torch.equal(model[2].bias, copied[2].bias)
    assert adaptation.fingerprint(model) != adaptation.fingerprint(copied)


def test_rank_must_fit():
    with pytest.raises(InputError, match="at least 1"):
        adapted("lora", rank=0)
    with pytest.raises(InputError, match="between 1 and 8"):
        adapted("lora", rank=9)
    with pytest.raises(InputError, match="rank 9 does not fit a matrix of 8 x 8"):
        adapted("svfit", rank=9)


@pytest.mark.parametrize(("kind", "shape"), [(nn.Conv1d, (2, 3, 9)), (nn.Conv2d, (2, 3, 9, 7))])
@pytest.mark.parametrize("method", ["lora", "svfit"])
def test_a_convolution_is_adapted_as_the_matrix_of_its_kernels(kind, shape, method):
    torch.manual_seed(0)
    model = nn.Sequential(kind(3, 4, 3, stride=2, padding=1))
    x = torch.randn(shape)
    before = model(x)
    adapt(model, method, head="none", **({"rank": 2} if method == "lora" else {}))
    assert torch.equal(model(x), before)
    disturb(model)
    expected = model(x)
    assert not torch.allclose(expected, before)
    torch.testing.assert_close(merge(model)(x), expected, rtol=0, atol=1e-5)


def test_the_formula_of_low_rank_adaptation():
    layer = Adapted(nn.Linear(4, 3))
    addition = LowRank(layer.base.weight, 2, scale=3.0)
    nn.init.normal_(addition.up)
    layer.additions["lora"], layer.rows["lora"] = addition, None
    x = torch.randn(5, 4)
    delta = 3.0 * torch.einsum("or,ri,ni->no", addition.up, addition.down, x)
    expected = x @ layer.base.weight.T + layer.base.bias + delta
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("worth", [0.0, float("inf")], ids=["beside", "within"])
@pytest.mark.parametrize("method", ["lora", "svfit", "svfit+lora", "dsee", "lora+dsee"])
def test_beside_the_weight_or_within_it(method, worth, monkeypatch):
    """What is added to the outputs is what is added to the weight, gradients too."""
    settings = {"rank": 2} | ({"entries": 5} if "dsee" in method else {})
    model = adapted(method, **({} if method == "svfit" else settings), where="attention.*|2")
    disturb(model)
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    layer: Adapted = model.get_submodule("0.attention.qkv")
    x, target = torch.randn(3, 7, 8), torch.randn(3, 7, 24)
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    monkeypatch.setattr(adaptation, "WORTH", worth)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    mine = [weight for weight in layer.parameters() if weight.requires_grad]
    assert len(mine) < len(learned)
    pairs = [torch.autograd.grad((y * target).sum(), mine) for y in (found, expected)]
    torch.testing.assert_close(*pairs, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), expected, rtol=0.05, atol=0.1)


def test_many_inputs_pay_for_a_weight_of_their_own():
    """Of full rank it takes fewer multiplications then; LoRA's rank is too small for any number."""
    thick = adapted("svfit").get_submodule("0.attention.qkv")
    few, many = torch.zeros(8, 8), torch.zeros(16, 8)
    assert not thick._as_a_weight(few)
    assert thick._as_a_weight(many)
    with torch.no_grad():
        assert thick._as_a_weight(few)
        assert not thick._as_a_weight(few[:4])
    thin = adapted("lora", rank=1, where="query").get_submodule("0.attention.qkv")
    assert not thin._as_a_weight(torch.zeros(100_000, 8))


def test_equals_peft():
    peft = pytest.importorskip("peft")
    ours = adapted("lora", rank=2, alpha=6.0, where="qkv|project")
    disturb(ours)
    config = peft.LoraConfig(r=2, lora_alpha=6.0, target_modules=["qkv", "project"], bias="none")
    theirs = peft.inject_adapter_in_model(config, copy.deepcopy(network()))
    weights = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, value in delta_state(ours).items():
            layer, part = name.split(".additions.lora.")
            key = {"down": "lora_A", "up": "lora_B"}[part]
            weights[f"{layer}.{key}.default.weight"].copy_(value)
    torch.testing.assert_close(ours(X), theirs(X), rtol=0, atol=1e-6)
    ours(X).square().mean().backward()
    theirs(X).square().mean().backward()
    layer = ours.get_submodule("0.attention.qkv.additions.lora")
    torch.testing.assert_close(
        weights["0.attention.qkv.lora_B.default.weight"].grad, layer.up.grad, rtol=1e-4, atol=1e-6
    )


def test_every_encoder_has_layers_to_adapt():
    for preset in TESTED:
        model = registry.build(preset.name)
        assert select(getattr(model, "encoder", model), ""), preset.name
