"""Masks that keep a bit a weight, and attention that really loses heads."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from sonograph import weights
from sonograph.errors import InputError
from sonograph.nn.adaptation import base_state, merge
from sonograph.nn.attention import Attention
from sonograph.nn.bert import SelfAttention
from sonograph.nn.gated_bias import GatedAttention
from sonograph.nn.prefix import Prefix
from sonograph.nn.pruning import (
    attentions,
    heads_left,
    keep_heads,
    largest,
    packed,
    prune,
    trim,
    unpacked,
)
from sonograph.nn.window_attention import SequenceAttention
from tests.contract.cases import TESTED, Case

X = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(0))
BIAS = torch.randn(3, 7, 7, generator=torch.Generator().manual_seed(1))
MADE = {
    "fused": lambda: (Attention(24, 3), (X,)),
    "separate": lambda: (SelfAttention(24, 3), (X,)),
    "windows": lambda: (SequenceAttention(24, 3, window=2, positions="rotary"), (X,)),
    "gated by queries": lambda: (GatedAttention(24, 3, "query"), (X, BIAS)),
    "gated by the input": lambda: (GatedAttention(24, 3, "input"), (X, BIAS)),
}


def silenced(attention, head: int):
    """The same attention with the columns of `project` that read a head set to zero."""
    quiet = copy.deepcopy(attention)
    with torch.no_grad():
        quiet.project.weight[:, 8 * head : 8 * (head + 1)] = 0
    return quiet


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("head", [0, 1, 2])
@torch.no_grad()
def test_without_a_head_is_as_if_nobody_heard_it(kind, head):
    torch.manual_seed(0)
    attention, given = MADE[kind]()
    if hasattr(attention, "gate_scale"):
        attention.gate_scale.uniform_(0.5, 2)
    expected = silenced(attention, head)(*given)
    whole = attention(*given)
    size = sum(p.numel() for p in attention.parameters())
    keep_heads(attention, [h for h in range(3) if h != head])
    assert attention.num_heads == 2
    assert sum(p.numel() for p in attention.parameters()) < 0.7 * size
    torch.testing.assert_close(attention(*given), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(attention(*given), whole)


@torch.no_grad()
def test_heads_go_one_after_the_other():
    torch.manual_seed(0)
    attention, given = MADE["gated by the input"]()
    expected = silenced(silenced(attention, 0), 2)(*given)
    keep_heads(attention, [1, 2])
    attention.heads = attention.heads.merged()
    keep_heads(attention, [0])
    assert attention.heads.left.tolist() == [1]
    torch.testing.assert_close(attention(*given), expected, rtol=1e-5, atol=1e-6)
    keep_heads(attention, [0])
    assert attention.heads.left.tolist() == [1]


@pytest.mark.parametrize("kept", [[], [3], [-1], [0, 0]])
def test_heads_that_are_not_there(kept):
    with pytest.raises(InputError, match="an attention of 3 heads cannot keep"):
        keep_heads(Attention(24, 3), kept)


def test_no_heads_go_beside_a_prefix():
    attention = Attention(24, 3)
    attention.prefix = Prefix(24, 2, 0.1)
    with pytest.raises(InputError, match="has a prefix"):
        keep_heads(attention, [0])


@pytest.mark.parametrize("preset", TESTED, ids=lambda preset: preset.name)
def test_a_model_with_fewer_heads_is_built_again(preset, tmp_path):
    case = Case(preset)
    encoder = case.build()
    if not (found := attentions(encoder)):
        assert preset.system in ("ssamba", "panns", "embedding_statistics")
        return
    assert all(name.endswith("attention") for name in found)
    for attention in found.values():
        keep_heads(attention, [attention.num_heads - 1])
    merge(encoder)
    features = case.features(2)
    with torch.no_grad():
        expected = encoder(features).values
    weights.save_folder(tmp_path, encoder, {})
    again = weights.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(features).values, expected)
    assert heads_left(again) == heads_left(encoder)
    with torch.device("meta"):
        empty = weights.build(weights.description(again))
    assert {n: p.shape for n, p in empty.named_parameters()} == {
        n: p.shape for n, p in again.named_parameters()
    }


def test_a_description_with_impossible_heads_is_answered(tmp_path):
    encoder = Case(TESTED[0]).build()
    with pytest.raises(InputError, match="cannot keep"):
        trim(encoder, {"blocks.0.attention": [7]})


@pytest.mark.parametrize("shape", [(8,), (3, 5), (1, 1), (4, 16)])
def test_bits_hold_a_mask(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5
    bits = packed(mask)
    assert bits.dtype == torch.uint8
    assert len(bits) == -(-mask.numel() // 8)
    assert torch.equal(unpacked(bits, shape), mask)
    with pytest.raises(InputError, match="bytes"):
        unpacked(bits[:-1], shape)


def test_pruned_weights_are_zero_and_the_shared_one_is_as_it_was():
    layer = nn.Linear(6, 4)
    layer.requires_grad_(False)
    shared = layer.weight
    before = shared.clone()
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[:, ::2] = True
    prune(layer, mask)
    x = torch.randn(3, 6)
    torch.testing.assert_close(layer(x), linear(x, before * mask, layer.bias))
    assert torch.equal(shared, before)
    again = torch.zeros(4, 6, dtype=torch.bool)
    again[:2] = True
    prune(layer, again)
    assert torch.equal(unpacked(layer.mask.bits, (4, 6)), mask & again)
    assert base_state(layer).keys() == {"weight", "bias"}
    with pytest.raises(InputError, match="cannot be merged"):
        merge(nn.Sequential(layer))


def test_weights_that_learn_are_not_pruned():
    with pytest.raises(InputError, match="of frozen weights"):
        prune(nn.Linear(6, 4), torch.ones(4, 6, dtype=torch.bool))


def test_masks_follow_the_heads():
    torch.manual_seed(0)
    attention = Attention(24, 3).requires_grad_(False)
    for layer in (attention.qkv, attention.project):
        prune(layer, torch.rand(layer.weight.shape) < 0.5)
    keep_heads(attention, [0, 2])
    for layer in (attention.qkv, attention.project):
        kept = unpacked(layer.mask.bits, layer.weight.shape)
        assert torch.equal(kept, layer.weight != 0)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_shares_that_mean_nothing(share):
    with pytest.raises(InputError, match="it lies in"):
        largest({"a": torch.ones(2, 2)}, share)
