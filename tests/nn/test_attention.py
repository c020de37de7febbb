from __future__ import annotations

import pytest
import torch

from sonograph.nn.attention import Attention
from sonograph.nn.transformer import PreNormBlock


def attend(layer: Attention, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Attention written out, one clip, head and token at a time."""
    batch, count, width = x.shape
    size = width // layer.num_heads
    mixed = torch.zeros_like(x)
    for b in range(batch):
        q, k, v = layer.qkv(x[b]).split(width, dim=1)
        for h in range(layer.num_heads):
            part = slice(h * size, (h + 1) * size)
            for i in range(count):
                scores = k[:, part] @ q[i, part] / size**0.5
                if mask is not None:
                    scores[~mask[b]] = float("-inf")
                mixed[b, i, part] = scores.softmax(0) @ v[:, part]
    return layer.project(mixed)


@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_equals_the_formula(masked):
    torch.manual_seed(0)
    layer, x = Attention(12, 3), torch.randn(2, 7, 12)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3]) if masked else None
    torch.testing.assert_close(layer(x, mask), attend(layer, x, mask))


@torch.no_grad()
def test_masked_tokens_are_never_looked_at():
    torch.manual_seed(0)
    block, x = PreNormBlock(12, 3), torch.randn(1, 7, 12)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    other = x.clone()
    other[:, 4:] = 1e6
    torch.testing.assert_close(block(x, mask)[:, :4], block(other, mask)[:, :4])
    torch.testing.assert_close(block(x, mask)[:, :4], block(x[:, :4]))


@torch.no_grad()
def test_the_block_normalises_before_each_residual_part():
    torch.manual_seed(0)
    block, x = PreNormBlock(8, 2, mlp_ratio=2.0), torch.randn(1, 5, 8)
    half = x + block.attention(torch.nn.functional.layer_norm(x, (8,), eps=1e-6))
    hidden = (
        torch.nn.functional.layer_norm(half, (8,), eps=1e-6) @ block.feedforward.expand.weight.T
    )
    hidden = torch.nn.functional.gelu(hidden + block.feedforward.expand.bias)
    expected = half + block.feedforward.contract(hidden)
    assert hidden.shape[2] == 16
    torch.testing.assert_close(block(x), expected)


def test_heads_have_to_divide_the_width():
    with pytest.raises(ValueError, match="not a multiple of 5 heads"):
        Attention(12, 5)
