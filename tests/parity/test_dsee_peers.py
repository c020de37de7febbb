"""DSEE against PEFT's LoRA, and its masks against PyTorch's own pruning."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from sonograph.nn.pruning import largest
from sonograph.train.adapt import adapt


def layer(outputs: int = 12, inputs: int = 8) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs)


def test_the_low_rank_part_is_pefts_lora_and_the_rest_is_a_masked_matrix():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, lora_alpha=32, target_modules=["0"])
    theirs = peft.inject_adapter_in_model(config, nn.Sequential(layer()))
    model = adapt(nn.Sequential(layer()), "dsee", head="none", rank=4, where="0")
    ours = model[0].additions["dsee"]
    x = torch.randn(2, 5, 8)
    assert torch.equal(model(x), layer()(x))
    with torch.no_grad():
        for weight in ours.parameters():
            weight.normal_()
        theirs[0].lora_A["default"].weight.copy_(ours.low.down)
        theirs[0].lora_B["default"].weight.copy_(ours.low.up)
    # torch.nn.utils.prune's naming, in which the official code keeps the sparse part
    sparse = nn.Linear(8, 12, bias=False)
    mask = torch.zeros(12, 8)
    mask[tuple(ours.places)] = 1
    prune.custom_from_mask(sparse, "weight", mask)
    with torch.no_grad():
        sparse.weight_orig[tuple(ours.places)] = ours.values
    expected = theirs(x) + 32 / 4 * sparse(x)
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)
    gradient = torch.autograd.grad(model(x).square().sum(), ours.values)[0]
    expected.square().sum().backward()
    theirs_of = sparse.weight_orig.grad
    assert not bool(theirs_of[mask == 0].any())
    torch.testing.assert_close(gradient, theirs_of[tuple(ours.places)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.37, 0.9])
def test_masks_over_several_layers_are_pytorchs(share):
    torch.manual_seed(1)
    linears = {name: nn.Linear(9, 7) for name in "abc"}
    ours = largest({name: one.weight.abs() for name, one in linears.items()}, share)
    if share:
        pairs = [(one, "weight") for one in linears.values()]
        prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=share)
    for name, one in linears.items():
        mask = one.weight_mask if share else torch.ones(7, 9)
        assert torch.equal(ours[name], mask.bool())
