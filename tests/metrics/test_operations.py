from __future__ import annotations

import torch
from torch import nn

from sonograph import registry
from sonograph.metrics.operations import macs, parameters
from sonograph.nn.transformer import PreNormBlock


def test_a_transformer_block_by_hand():
    n, d = 10, 16
    block = PreNormBlock(d, 2)
    products = n * (3 * d * d + d * d + 8 * d * d)
    attention = 2 * n * n * d
    assert macs(block, torch.zeros(1, n, d)) == products + attention
    assert macs(block, torch.zeros(4, n, d)) == 4 * (products + attention)


def test_convolutions_count():
    layer = nn.Conv2d(2, 3, (4, 5), stride=2)
    assert macs(layer, torch.zeros(1, 2, 10, 11)) == 3 * 2 * 4 * 5 * 4 * 4


def test_weights_count_once():
    model = registry.build("ssast-test")
    assert parameters(nn.ModuleList([model, model])) == parameters(model)
