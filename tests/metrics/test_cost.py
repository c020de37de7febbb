from __future__ import annotations

import torch
from torch import nn

from sonograph.metrics.cost import Weights, count_weights, macs
from sonograph.nn.attention import Attention


def test_products_of_attention_count():
    """Four projections of 12 x 12 for 5 tokens, and twice 5 x 5 products of 12 numbers."""
    attention = Attention(12, 3).train()
    assert macs(attention, torch.zeros(2, 5, 12)) == 2 * (4 * 5 * 12 * 12 + 2 * 5 * 5 * 12)
    assert attention.training


def test_convolutions_count():
    assert macs(nn.Conv1d(2, 3, 4), torch.zeros(1, 2, 10)) == 7 * 2 * 3 * 4


def test_zeros_are_held_but_not_counted_as_more():
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(1.0)
        layer.weight[0] = 0
    assert count_weights(layer) == Weights(total=8, nonzero=5)
