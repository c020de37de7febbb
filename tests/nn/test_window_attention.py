from __future__ import annotations

import pytest
import torch

from sonograph.nn.rotary import rotated
from sonograph.nn.window_attention import SequenceAttention


def neighbours(n: int, window: int, sees: str) -> torch.Tensor:
    """Which token sees which: (n, n)."""
    cell = torch.arange(n) // window
    near = (cell[:, None] - cell).abs() <= 1
    return near.tril() if sees == "past" else near


@pytest.mark.parametrize("sees", ["both", "past"])
@pytest.mark.parametrize("positions", ["none", "rotary"])
@pytest.mark.parametrize("n", [3, 8, 12, 21])
@torch.no_grad()
def test_windows_see_themselves_and_their_neighbours(sees, positions, n):
    torch.manual_seed(0)
    layer = SequenceAttention(16, 2, window=4, positions=positions, sees=sees)
    x, lengths = torch.randn(2, n, 16), torch.tensor([[n], [max(1, n - 7)]])
    mask = torch.arange(n) < lengths
    q, k, v = layer.qkv(x).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    if positions == "rotary":
        q, k = rotated(q), rotated(k)
    scores = q @ k.transpose(-1, -2) / 8**0.5
    seen = neighbours(n, 4, sees) & mask[:, None, None, :]
    mixed = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v
    want = layer.project(mixed.transpose(1, 2).flatten(2))
    got = layer(x, mask)
    for clip, length in enumerate(lengths.flatten()):
        torch.testing.assert_close(got[clip, :length], want[clip, :length], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(got).all()
    torch.testing.assert_close(layer(x[:1]), want[:1], atol=1e-5, rtol=1e-5)


def test_rotary_products_depend_on_the_distance_alone():
    q, k = torch.randn(6), torch.randn(6)
    products = rotated(q.expand(9, 6)) @ rotated(k.expand(9, 6)).T
    for distance in range(-5, 6):
        line = products.diagonal(distance)
        torch.testing.assert_close(line, line[:1].expand_as(line), atol=1e-5, rtol=1e-4)
    assert (products[0, 1:] - products[0, 0]).abs().min() > 1e-4
    torch.testing.assert_close(rotated(q.expand(9, 6)).norm(dim=1), q.norm().expand(9))


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="not a multiple of 3 heads"):
        SequenceAttention(16, 3)
    with pytest.raises(ValueError, match="3 numbers a head are odd"):
        rotated(torch.zeros(4, 3))
