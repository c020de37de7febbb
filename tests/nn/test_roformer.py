from __future__ import annotations

import pytest
import torch
from torch import nn

from sonograph.nn import roformer
from sonograph.nn.roformer import FeedForward, GatedAttention, L2Norm, Roformer
from sonograph.nn.rotary import rotated


def test_the_norm_has_no_floor_but_for_zero():
    norm, x = L2Norm(4), torch.randn(3, 4)
    torch.testing.assert_close(norm(x * 1e-6), norm(x))
    assert torch.equal(norm(torch.zeros(1, 4)), torch.zeros(1, 4))


@pytest.mark.parametrize("along", ["first", "second"])
@pytest.mark.parametrize("gated", [True, False])
def test_attention_by_hand(along, gated):
    torch.manual_seed(0)
    block = GatedAttention(6, 2, 4, along, gated).eval()
    nn.init.normal_(block.norm.gain)
    grid = torch.randn(5, 3, 6)
    rows = grid.transpose(0, 1) if along == "first" else grid
    x = block.norm(rows)
    q, k, v = block.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    q, k = rotated(q), rotated(k)
    mixed = (q @ k.mT / 2).softmax(-1) @ v
    if gated:
        mixed = mixed * block.gates(x).sigmoid().mT[..., None]
    wanted = block.project(mixed.transpose(1, 2).flatten(2))
    found = block(grid)
    found = found.transpose(0, 1) if along == "first" else found
    torch.testing.assert_close(found, wanted)


def test_feed_forward_by_hand():
    torch.manual_seed(0)
    block = FeedForward(6).eval()
    nn.init.normal_(block.norm.gain)
    x = torch.randn(2, 6)
    hidden = nn.functional.gelu(block.expand(block.norm(x)))
    torch.testing.assert_close(block(x), block.contract(hidden))


@pytest.mark.parametrize("along", ["first", "second"])
@pytest.mark.parametrize("norm", [True, False])
def test_rows_in_parts_are_the_rows_at_once(along, norm, monkeypatch):
    torch.manual_seed(0)
    block = Roformer(6, 2, 2, 4, along, norm=norm).eval()
    x = torch.randn(5, 7, 6)
    whole = block.rows(x)
    for few in (1, 11, 10**6):
        monkeypatch.setattr(roformer, "CACHED", few)
        torch.testing.assert_close(block(x), whole)


def test_only_one_axis_is_mixed():
    block = Roformer(6, 1, 2, 4, "first").eval()
    x = torch.randn(5, 3, 6)
    changed = x.clone()
    changed[:, 1] += 1
    difference = (block(changed) - block(x)).abs().amax((0, 2))
    assert difference[1] > 1e-3
    assert difference[[0, 2]].max() == 0


def test_dropout_only_while_learning():
    block = Roformer(6, 1, 2, 4, "first", attention_dropout=0.5, dropout=0.5)
    x = torch.randn(5, 3, 6)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))
