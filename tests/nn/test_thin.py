"""Two thin layers in place of one: the nearest of their rank, and built again without deciding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sonograph import registry, weights
from sonograph.nn.adaptation import fingerprint
from sonograph.nn.thin import Compression, Thin, compress, decomposed, skeleton, thin_rank


@pytest.mark.parametrize(
    ("inputs", "outputs", "ratio", "rank"),
    [
        (768, 2304, 2, 288),
        (768, 768, 1.5, 256),
        (3072, 768, 3, 204),
        (48, 48, 1.5, 16),
        (1, 9, 2, 0),
    ],
)
def test_the_rank_leaves_the_asked_share_of_weights(inputs, outputs, ratio, rank):
    assert thin_rank(inputs, outputs, ratio) == rank
    assert rank * (inputs + outputs) * ratio <= inputs * outputs
    assert (rank + 1) * (inputs + outputs) * ratio > inputs * outputs


@pytest.mark.parametrize("bias", [True, False])
def test_the_nearest_layer_of_its_rank(bias):
    torch.manual_seed(0)
    dense = nn.Linear(12, 20, bias=bias)
    thin = decomposed(dense, 5)
    s = torch.linalg.svdvals(dense.weight)
    torch.testing.assert_close((thin.weight - dense.weight).norm(), s[5:].norm())
    torch.testing.assert_close(thin[0].weight.norm(dim=1), s[:5].sqrt())
    torch.testing.assert_close(thin[1].weight.norm(dim=0), s[:5].sqrt())
    x = torch.randn(3, 12)
    torch.testing.assert_close(thin(x), nn.functional.linear(x, thin.weight, thin.bias))
    assert thin.bias is None if not bias else torch.equal(thin.bias, dense.bias)
    assert set(thin.state_dict()) == {"0.weight", "1.weight"} | ({"1.bias"} if bias else set())


def test_full_rank_changes_nothing():
    torch.manual_seed(0)
    dense = nn.Linear(6, 9)
    x = torch.randn(4, 6)
    torch.testing.assert_close(decomposed(dense, 6)(x), dense(x))


def test_a_compressed_encoder_is_built_again_without_a_decomposition(tmp_path, monkeypatch):
    encoder = registry.build("ssast-test")
    plain = fingerprint(encoder)
    chosen = Compression(2.0, {"blocks.0.attention.qkv": 7, "blocks.1.feedforward.contract": 3})
    compress(encoder, chosen)
    assert fingerprint(encoder) != plain
    weights.save_folder(tmp_path, encoder, {"name": "small"})
    monkeypatch.setattr(torch.linalg, "svd", None)
    loaded = weights.load(tmp_path)
    assert loaded.describe() == encoder.describe()
    assert loaded.describe()["system"] == "ssast"
    assert isinstance(loaded.blocks[0].attention.qkv, Thin)
    assert not isinstance(loaded.blocks[1].attention.qkv, Thin)
    features = torch.randn(2, 128, 64)
    assert torch.equal(loaded(features).values, encoder.eval()(features).values)


def test_a_skeleton_has_the_shapes_alone():
    encoder, other = (registry.build("ssast-test", seed=0) for _ in range(2))
    chosen = Compression(2.0, {"blocks.0.attention.qkv": 7})
    compress(encoder, chosen)
    skeleton(other, chosen)
    shapes = [{n: v.shape for n, v in m.state_dict().items()} for m in (encoder, other)]
    assert shapes[0] == shapes[1]
    name = "blocks.0.attention.qkv.0.weight"
    assert not torch.equal(encoder.state_dict()[name], other.state_dict()[name])
