"""Location-sensitive attention: weights, memory of the past, padding."""

from __future__ import annotations

import torch

from sonograph.nn.location_attention import LocationAttention, Read


def read_twice(attention: LocationAttention, memory: torch.Tensor, mask=None) -> Read:
    torch.manual_seed(1)
    query, keys = torch.randn(2, len(memory), 4), attention.keys(memory)
    first = attention(query[0], keys, attention.begin(memory), mask)
    return attention(query[1], keys, first, mask)


def made(**given) -> LocationAttention:
    torch.manual_seed(0)
    return LocationAttention(4, 6, 8, 3, 5, **given)


def test_weights_sum_to_one_and_add_up():
    for sees in ("total", "and total"):
        read = read_twice(made(sees=sees), torch.randn(2, 7, 6))
        torch.testing.assert_close(read.weights.sum(1), torch.ones(2))
        torch.testing.assert_close(read.total.sum(1), torch.full((2,), 2.0))


def test_what_was_read_matters():
    attention, memory = made(), torch.randn(1, 7, 6)
    query, keys = torch.randn(1, 4), attention.keys(memory)
    begun = attention.begin(memory)
    other = begun._replace(weights=torch.eye(7)[:1], total=torch.eye(7)[:1])
    one, two = (attention(query, keys, before, None).weights for before in (begun, other))
    assert not torch.allclose(one, two)


def test_padding_gets_nothing_unless_as_published():
    memory = torch.randn(1, 7, 6)
    mask = torch.arange(7)[None] < 5
    kept, leaking = made(), made(padding="zero energy")
    assert (read_twice(kept, memory, mask).weights[0, 5:] == 0).all()
    assert (read_twice(leaking, memory, mask).weights[0, 5:] > 0).all()
    alone = read_twice(kept, memory[:, :5])
    torch.testing.assert_close(read_twice(kept, memory, mask).weights[:, :5], alone.weights)
