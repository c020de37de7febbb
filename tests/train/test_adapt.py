from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from sonograph.errors import InputError
from sonograph.nn.transformer import PreNormBlock
from sonograph.train.adapt import adapt, trainable_parameters


def network() -> nn.Module:
    encoder = nn.Sequential(PreNormBlock(8, 2), PreNormBlock(8, 2))
    return nn.Sequential(OrderedDict(encoder=encoder, head=nn.Linear(8, 3)))


HEAD = 8 * 3 + 3
NORMS = 2 * 2 * 16
BIASES = 2 * (24 + 8 + 32 + 8 + 2 * 8)
WHOLE = sum(p.numel() for p in network().parameters())
DELTAS = 2 * (2 * (8 + 24) + 2 * (8 + 8))


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("full", WHOLE),
        ("linear", HEAD),
        ("norms", HEAD + NORMS),
        ("biases", HEAD + BIASES),
        ("lowrank", HEAD + DELTAS),
    ],
)
def test_what_learns(method, count):
    model = adapt(network(), method, rank=2)
    assert trainable_parameters(model) == count
    model(torch.randn(2, 5, 8)).square().mean().backward()
    reached = sum(p.numel() for p in model.parameters() if p.grad is not None)
    assert reached == count


def test_one_method_after_another_leaves_nothing_behind():
    model = adapt(adapt(network(), "linear"), "full")
    assert trainable_parameters(model) == WHOLE
    assert trainable_parameters(adapt(model, "linear")) == HEAD


def test_typos_are_answered():
    with pytest.raises(InputError, match="Did you mean 'linear'"):
        adapt(network(), "linaer")
    with pytest.raises(InputError, match=r"no part called 'heat'.*Did you mean 'head'"):
        adapt(network(), "linear", head="heat")
