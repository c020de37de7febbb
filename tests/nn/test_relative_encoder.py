"""Relative positions: the formula written out, padding, ends shorter than the window."""

from __future__ import annotations

import pytest
import torch

from sonograph.errors import InputError
from sonograph.nn.relative_encoder import RelativeAttention, RelativeEncoder


@pytest.mark.parametrize("n", [1, 3, 12])
def test_attention_is_the_formula_written_out(n: int) -> None:
    torch.manual_seed(0)
    attention = RelativeAttention(8, num_heads=2, window=4).double()
    x = torch.randn(1, 8, n).double()
    found = attention(x, torch.ones(1, 1, n).double())
    query, key, value = (
        part(x)[0].reshape(2, 4, n) for part in (attention.query, attention.key, attention.value)
    )
    out = torch.zeros(2, 4, n).double()
    for head in range(2):
        for i in range(n):
            keys, values = key[head].T.clone(), value[head].T.clone()
            for j in range(n):
                if abs(j - i) <= 4:
                    keys[j] += attention.relative_keys[j - i + 4]
                    values[j] += attention.relative_values[j - i + 4]
            weights = (keys @ query[head, :, i] / 2).softmax(0)
            out[head, :, i] = weights @ values
    torch.testing.assert_close(found, attention.project(out.reshape(1, 8, n)))


@pytest.mark.parametrize("norms", ["before", "after"])
def test_padding_changes_nothing(norms: str) -> None:
    torch.manual_seed(0)
    encoder = RelativeEncoder(8, 16, 2, depth=2, kernels=(5, 3), norms=norms).double()
    encoder.prenet.project.weight.data.normal_()
    x = torch.randn(1, 8, 11).double()
    mask = (torch.arange(11) < 6).double()[None, None]
    alone = encoder(x[..., :6], mask[..., :6])
    padded = encoder(x, mask)
    torch.testing.assert_close(padded[..., :6], alone)
    assert (padded[..., 6:] == 0).all()


def test_distance_is_told_apart_inside_the_window_only() -> None:
    torch.manual_seed(0)
    encoder = RelativeEncoder(8, 16, 2, depth=1, kernels=(1, 1), window=2, prenet=False)
    x = torch.randn(1, 8, 1).expand(1, 8, 12).clone()
    x[..., 0] = torch.randn(8)  # one token differs
    out = encoder(x, torch.ones(1, 1, 12))[0]
    assert not torch.allclose(out[:, 1], out[:, 2])
    torch.testing.assert_close(out[:, 5], out[:, 6])


def test_heads_have_to_divide_the_width() -> None:
    with pytest.raises(InputError, match="heads"):
        RelativeAttention(9, num_heads=2, window=4)
