"""Blocks that go another way while a model is exported say the same there."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.gated_attention import grouped_attention
from sonograph.nn.scan import doubled_scan, sequential_scan


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)


def draws(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("length", [1, 2, 7, 64, 65])
def test_a_scan_by_doubling(length):
    u, delta, a, b, c = draws(
        (2, length, 3), (2, length, 3), (3, 4), (2, length, 4), (2, length, 4)
    )
    delta, a = delta.exp(), -a.exp()
    wanted = sequential_scan(u, delta, a, b, c)
    torch.testing.assert_close(doubled_scan(u, delta, a, b, c), wanted, rtol=1e-5, atol=1e-5)
    back = sequential_scan(u.flip(1), delta.flip(1), a, b.flip(1), c.flip(1)).flip(1)
    found = doubled_scan(u, delta, a, b, c, "backward")
    torch.testing.assert_close(found, back, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [3, 8, 13, 16])
def test_groups_filled_up(frames, request):
    queries, keys, values = draws((2, frames, 5), (2, frames, 5), (2, frames, 6))
    wanted = grouped_attention(queries, keys, values, group=8)
    request.getfixturevalue("exporting")
    torch.testing.assert_close(grouped_attention(queries, keys, values, group=8), wanted)
