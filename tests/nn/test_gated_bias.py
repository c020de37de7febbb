from __future__ import annotations

import math

import pytest
import torch

from sonograph.nn.conv_positions import ConvPositions
from sonograph.nn.gated_bias import (
    GatedAttention,
    GatedBlock,
    GatedTransformer,
    RelativeTable,
    relative_buckets,
)


def bucket(distance: int, count: int, farthest: int) -> int:
    """One bucket, by the words of the paper."""
    half, size = count // 2, abs(distance)
    if size >= half // 2:
        share = math.log(size / (half // 2)) / math.log(farthest / (half // 2))
        size = min(half - 1, int(half // 2 + share * (half - half // 2)))
    return size + (half if distance > 0 else 0)


def test_buckets():
    distances = torch.arange(-1500, 1501)
    found = relative_buckets(distances, 320, 800).tolist()
    assert found == [bucket(d, 320, 800) for d in distances.tolist()]
    assert set(found) == set(range(320)) - {160}  # distance 0 counts as behind
    assert relative_buckets(torch.tensor(10**9), 320, 800) == 319


@torch.no_grad()
def test_table_gives_each_pair_the_bias_of_its_distance():
    table = RelativeTable(2, 8, 16)
    bias = table(6)
    for i in range(6):
        for j in range(6):
            assert torch.equal(bias[:, i, j], table.weight[bucket(j - i, 8, 16)])


@pytest.mark.parametrize("gate_from", ["query", "input"])
@torch.no_grad()
def test_equals_the_formula(gate_from):
    torch.manual_seed(0)
    layer, x, bias = GatedAttention(12, 3, gate_from), torch.randn(2, 7, 12), torch.randn(3, 7, 7)
    layer.gate_scale.copy_(torch.rand(1, 3, 1, 1) + 0.5)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    mixed = torch.zeros_like(x)
    for b in range(2):
        q, k, v = layer.query(x[b]), layer.key(x[b]), layer.value(x[b])
        for h in range(3):
            part = slice(4 * h, 4 * h + 4)
            for i in range(7):
                eight = layer.gate((q if gate_from == "query" else x[b])[i, part])
                a, c = eight[:4].sum().sigmoid(), eight[4:].sum().sigmoid()
                gate = a * (c * layer.gate_scale[0, h, 0, 0] - 1) + 2
                scores = k[:, part] @ q[i, part] / 2 + gate * bias[h, i]
                scores[~mask[b]] = float("-inf")
                mixed[b, i, part] = scores.softmax(0) @ v[:, part]
    torch.testing.assert_close(layer(x, bias, mask), layer.project(mixed))


@torch.no_grad()
def test_softmax_is_of_full_precision_under_autocast():
    """Biases of 300 and 301 are one number in bfloat16, but not the same attention."""
    torch.manual_seed(0)
    layer, x = GatedAttention(8, 1), torch.randn(1, 2, 8)
    layer.query.weight.zero_()
    layer.query.bias.zero_()  # logits are the gated biases alone
    layer.gate.weight.zero_()
    layer.gate.bias.copy_(torch.tensor([-9.0] * 4 + [0.0] * 4))  # gate 2
    layer.project.weight.copy_(torch.eye(8))
    layer.project.bias.zero_()
    bias = torch.tensor([[[300.0, 301.0], [300.0, 300.0]]])
    assert bias.bfloat16()[0, 0, 0] == bias.bfloat16()[0, 0, 1]
    with torch.autocast("cpu", torch.bfloat16):
        got = layer(x, bias)
        v = layer.value(x).float()
    weight = torch.tensor([300.0, 301.0]).mul(2).softmax(0)
    torch.testing.assert_close(got[0, 0].float(), weight @ v[0], rtol=0.02, atol=0.02)


@torch.no_grad()
def test_deepnorm_is_its_formula():
    torch.manual_seed(0)
    stack = GatedTransformer(12, 3, 2, 24, 8, 16)
    block, x = stack.blocks[0], torch.randn(1, 5, 12)
    alpha, bias = (2 * 3) ** 0.25, stack.relative(5)
    middle = block.norm1(alpha * x + block.attention(x, bias))
    want = block.norm2(alpha * middle + block.feedforward(middle))
    torch.testing.assert_close(block(x, bias), want)
    wide = GatedTransformer(256, 12, 4, 256)
    ratio = wide.blocks[5].attention.value.weight.std() / wide.blocks[5].attention.key.weight.std()
    assert float(ratio) == pytest.approx(96**-0.25, rel=0.03)


@torch.no_grad()
def test_what_deepnorm_does_not_name_begins_as_berts():
    torch.manual_seed(0)
    deep = GatedTransformer(256, 4, 4, 512)
    post = GatedTransformer(256, 4, 4, 512, arrangement="post")
    gates = [block.attention.gate for block in (*deep.blocks, *post.blocks)]
    weights = torch.cat([gate.weight for gate in gates])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.05)
    assert not any(bool(gate.bias.any()) for gate in gates)
    for layer in (post.blocks[1].attention.value, post.blocks[2].feedforward.expand):
        assert float(layer.weight.std()) == pytest.approx(0.02, rel=0.05)
        assert not layer.bias.any()
    assert float(deep.blocks[1].attention.query.weight.std()) == pytest.approx(256**-0.5, rel=0.05)


@torch.no_grad()
def test_prenorm_adds_to_what_it_is_given():
    torch.manual_seed(0)
    block, x, bias = (
        GatedBlock(12, 2, 24, arrangement="pre"),
        torch.randn(1, 5, 12),
        torch.zeros(2, 5, 5),
    )
    middle = x + block.attention(block.norm1(x), bias)
    torch.testing.assert_close(block(x, bias), middle + block.feedforward(block.norm2(middle)))


def test_heads_have_to_divide_the_width():
    with pytest.raises(ValueError, match="not a multiple of 5 heads"):
        GatedAttention(12, 5)
    with pytest.raises(ValueError, match="not a multiple of 5 groups"):
        ConvPositions(12, 4, 5)


@pytest.mark.parametrize("kernel", [4, 5])
@torch.no_grad()
def test_positions_equal_a_weight_normed_convolution(kernel):
    torch.manual_seed(0)
    ours, x = ConvPositions(8, kernel, 2), torch.randn(2, 9, 8)
    ours.gain.copy_(torch.rand_like(ours.gain) + 0.5)
    conv = torch.nn.Conv1d(8, 8, kernel, padding=kernel // 2, groups=2)
    conv = torch.nn.utils.parametrizations.weight_norm(conv, dim=2)
    conv.parametrizations.weight.original0.copy_(ours.gain)
    conv.parametrizations.weight.original1.copy_(ours.direction)
    conv.bias.copy_(ours.bias)
    want = torch.nn.functional.gelu(conv(x.transpose(1, 2))[:, :, :9]).transpose(1, 2)
    torch.testing.assert_close(ours(x), want)
