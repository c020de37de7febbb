from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv1d, gelu, layer_norm

from sonograph.nn.fft_block import PostNormFFT, PreNormFFT


@torch.no_grad()
def test_the_papers_block_normalises_after_each_sum():
    torch.manual_seed(0)
    block, x = PostNormFFT(8, 2, 12, kernels=(3, 3)).eval(), torch.randn(1, 5, 8)
    half = layer_norm(x + block.attention(x), (8,))
    h = conv1d(half.transpose(1, 2), block.expand.weight, block.expand.bias, padding=1).relu()
    h = conv1d(h, block.contract.weight, block.contract.bias, padding=1).transpose(1, 2)
    torch.testing.assert_close(block(x), layer_norm(half + h, (8,)))


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@torch.no_grad()
def test_natspeechs_block_normalises_before_and_scales_its_convolution(activation):
    torch.manual_seed(0)
    block, x = PreNormFFT(8, 2, kernel=9, activation=activation).eval(), torch.randn(1, 5, 8)
    half = x + block.attention(layer_norm(x, (8,)))
    h = layer_norm(half, (8,)).transpose(1, 2)
    h = conv1d(h, block.expand.weight, block.expand.bias, padding=4).transpose(1, 2) / 3
    h = gelu(h) if activation == "gelu" else h.relu()
    want = half + h @ block.contract.weight.T + block.contract.bias
    torch.testing.assert_close(block(x), want)
    assert block.attention.qkv.bias is None


@torch.no_grad()
def test_published_sees_beyond_a_texts_end_through_the_second_convolution():
    torch.manual_seed(0)
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    x = torch.randn(2, 7, 8) * mask[:, :, None]
    ours, theirs = (
        PostNormFFT(8, 2, 12, (3, 3), compat=compat).eval() for compat in ("none", "published")
    )
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x, mask)[1, :3], theirs(x, mask)[1, :3])
    assert (ours(x, mask)[1, 3] - theirs(x, mask)[1, 3]).abs().max() > 1e-3
    assert theirs(x, mask)[1, 4:].abs().max() == 0


@pytest.mark.parametrize("make", [PostNormFFT, PreNormFFT])
@torch.no_grad()
def test_padding_changes_nothing(make):
    torch.manual_seed(0)
    block = make(8, 2, 16, kernels=(5, 3)) if make is PostNormFFT else make(8, 2, 5)
    block.eval()
    for parameter in block.parameters():
        parameter.copy_(torch.randn_like(parameter))
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    x = torch.randn(2, 7, 8) * mask[:, :, None]
    out = block(x, mask)
    torch.testing.assert_close(out[1:, :4], block(x[1:, :4]), rtol=1e-4, atol=1e-4)
    assert out[1, 4:].abs().max() == 0
