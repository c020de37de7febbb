from __future__ import annotations

import pytest
import torch

from sonograph.nn.gated_attention import GatedAttention, grouped_attention, shifted
from sonograph.nn.rotary import rotary_rates, rotated, turned


def test_half_of_the_channels_comes_one_frame_later():
    x = torch.arange(12.0).view(1, 3, 4)
    assert shifted(x)[0].tolist() == [[0, 0, 2, 3], [0, 1, 6, 7], [4, 5, 10, 11]]


@pytest.mark.parametrize("n", [1, 4, 8, 11])
def test_local_attention_is_that_of_a_zero_padded_group(n):
    """FLASH, equation 4: the last group filled up with zeros, keys beyond the end masked."""
    torch.manual_seed(0)
    q, k, v = torch.randn(2, n, 3), torch.randn(2, n, 3), torch.randn(2, n, 5)
    want = torch.zeros(2, n, 5)
    for start in range(0, n, 4):
        rows = slice(start, min(n, start + 4))
        weight = (torch.einsum("bid,bjd->bij", q[:, rows], k[:, rows]) / 4).relu() ** 2
        want[:, rows] = torch.einsum("bij,bje->bie", weight, v[:, rows])
    torch.testing.assert_close(grouped_attention(q, k, v, 4), want)


def test_the_block_is_the_formula():
    torch.manual_seed(0)
    n, group = 11, 4
    block = GatedAttention(8, query_width=6, group_frames=group, conv_frames=3, dropout=0.0)
    block.gamma.data.normal_()
    block.beta.data.normal_()
    x = torch.randn(2, n, 8)
    angles = torch.arange(n)[:, None] * rotary_rates(4)
    late = shifted(x)
    v, u = block.hidden(late).chunk(2, dim=-1)
    shared = block.shared(late)
    near_q, far_q, near_k, far_k = (
        torch.cat([rotated(c[..., :4]), c[..., 4:]], -1)
        for c in (shared * g + b for g, b in zip(block.gamma, block.beta))
    )
    attended = []
    for values in (v, u):
        local = grouped_attention(near_q, near_k, values, group)
        total = torch.einsum("bnq,bne->bqe", far_k, values) / n
        attended.append(local + far_q @ total)
    want = x + block.out(attended[1] * v * torch.sigmoid(attended[0] * u))
    torch.testing.assert_close(block(x, angles.cos(), angles.sin()), want)


def test_what_is_not_turned_stays():
    x = torch.randn(2, 5, 6)
    got = turned(x, torch.arange(5)[:, None] * rotary_rates(4))
    torch.testing.assert_close(got[..., 4:], x[..., 4:])
    torch.testing.assert_close(got[..., :4], rotated(x[..., :4]))
    with pytest.raises(ValueError, match="odd"):
        rotary_rates(3)


def test_dropout_is_of_training_alone():
    block = GatedAttention(8, query_width=4, group_frames=4, conv_frames=3, dropout=0.5)
    block.gamma.data.normal_(std=3)
    x, angles = torch.randn(1, 9, 8), torch.zeros(9, 1)
    turns = (angles.cos(), angles.sin())
    assert not torch.equal(block(x, *turns), block(x, *turns))
    block.eval()
    assert torch.equal(block(x, *turns), block(x, *turns))
