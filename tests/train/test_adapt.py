from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.nn.adaptation import merge
from sonograph.nn.transformer import PreNormBlock
from sonograph.train.adapt import (
    adapt,
    cost,
    lower_ranks,
    methods_of,
    trainable_parameters,
    within,
)
from tests.nn.test_adaptation import disturb

LISTED = [one for one in registry.methods().values() if one.trained is not None]


def network() -> nn.Module:
    encoder = nn.Sequential(PreNormBlock(8, 2), PreNormBlock(8, 2))
    return nn.Sequential(OrderedDict(encoder=encoder, head=nn.Linear(8, 3)))


HEAD = 8 * 3 + 3
NORMS = 2 * 2 * 16
BIASES = 2 * (24 + 8 + 32 + 8 + 2 * 8)
WHOLE = sum(p.numel() for p in network().parameters())
DELTAS = 2 * 2 * (2 * (8 + 8))  # blocks, queries and values, rank


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("full", WHOLE),
        ("linear", HEAD),
        ("norms", HEAD + NORMS),
        ("bitfit", HEAD + BIASES),
        ("lora", HEAD + DELTAS),
        ("lora+norms", HEAD + DELTAS + NORMS),
        ("svfit", HEAD + 2 * 2 * 8),
    ],
)
def test_what_learns(method, count):
    settings = {"rank": 2} if "lora" in method else {}
    model = adapt(network(), method, **settings)
    assert trainable_parameters(model) == count
    model(torch.randn(2, 5, 8)).square().mean().backward()
    reached = sum(p.numel() for p in model.parameters() if p.grad is not None)
    assert reached == count


def test_one_selection_after_another_leaves_nothing_behind():
    model = adapt(adapt(network(), "linear"), "full")
    assert trainable_parameters(model) == WHOLE
    assert trainable_parameters(adapt(model, "linear")) == HEAD


def test_typos_are_answered():
    with pytest.raises(InputError, match="Did you mean 'linear'"):
        adapt(network(), "linaer")
    with pytest.raises(InputError, match=r"no part called 'heat'.*Did you mean 'head'"):
        adapt(network(), "linear", head="heat")
    with pytest.raises(InputError, match=r"no setting 'rang'.*Did you mean 'rank'"):
        adapt(network(), "lora", rang=2)
    with pytest.raises(InputError, match=r"no layer is called 'atention.query'.*Did you mean"):
        adapt(network(), "lora", where="atention.query")


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: listed.name)
def test_published_counts(listed):
    """On the published backbone, without the head."""
    encoder = registry.build(listed.on, device="meta")
    assert cost(encoder, (listed.make(),)) == listed.trained


@pytest.mark.parametrize(("budget", "rank"), [("0.3%", 7), ("221184", 6), (221_183, 5)])
def test_a_budget_sets_the_size(budget, rank):
    encoder = registry.build("ast-base", device="meta")
    (method,) = within(encoder, methods_of("lora"), budget)
    assert method.rank == rank


@pytest.mark.parametrize(
    "name", ["lora", "adapter", "conformer", "prefix", "prompt-deep", "moa-soft"]
)
def test_every_size_is_as_large_as_a_budget_allows(name):
    encoder = registry.build("ssast-tiny", device="meta")
    (method,) = within(encoder, methods_of(name), "1%")
    allowed = sum(p.numel() for p in encoder.parameters()) // 100
    assert cost(encoder, (method,)) <= allowed
    larger = method.override({method.size: getattr(method, method.size) + 2})
    assert cost(encoder, (larger,)) > allowed


def test_budgets_that_cannot_be_met():
    encoder = registry.build("ssast-test")
    with pytest.raises(InputError, match=r"with rank 1 it trains 384 numbers: over 100 trained"):
        within(encoder, methods_of("lora"), 100)
    with pytest.raises(InputError, match="has no size: over 3 trained numbers"):
        within(encoder, methods_of("bitfit"), 3)
    with pytest.raises(InputError, match="a budget is a number or a share"):
        within(encoder, methods_of("lora"), "few")
    with pytest.raises(InputError, match="leaves nothing to train"):
        within(encoder, methods_of("lora"), "0.0001%")


def test_a_budget_larger_than_the_layers_takes_the_largest_rank():
    (method,) = within(registry.build("ssast-test"), methods_of("svfit"), "90%")
    assert method.rank == 48


def thin_network(narrowest: int = 1) -> nn.Module:
    """Layers without attention: one of them reads a single number, as of an envelope."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(narrowest, 32), nn.GELU(), nn.Linear(32, 32))


@pytest.mark.parametrize("method", ["lora", "svfit", "dsee"])
def test_a_layer_too_thin_for_the_rank_takes_what_fits(method):
    """Found by a pattern or by itself; the scale of LoRA stays that of the other layers."""
    settings = {"rank": 8, "where": "*"} | ({"entries": 4} if method == "dsee" else {})
    (one,) = methods_of(method, settings)
    assert lower_ranks(thin_network(), [one]) == {"0": 1}
    model = adapt(thin_network(), one, head="none")
    ranks = [layer.additions[method].rank for layer in (model[0], model[2])]
    assert ranks == [1, 8]
    x = torch.randn(3, 1)
    assert torch.equal(model(x), thin_network()(x))
    model(x).square().mean().backward()
    disturb(model)
    expected = model(x)
    torch.testing.assert_close(merge(model)(x), expected, rtol=1e-4, atol=1e-5)


def test_a_lowered_rank_keeps_the_scale_of_the_others():
    model = adapt(thin_network(), "lora", head="none", rank=8, alpha=16.0)
    assert [model[k].additions["lora"].scale for k in (0, 2)] == [2.0, 2.0]


@pytest.mark.parametrize("method", ["lora", "svfit", "dsee"])
def test_a_rank_that_fits_nothing_that_was_named_is_refused(method):
    with pytest.raises(InputError, match=r"rank 8 .* of 32 x 1 \(0\): it lies between 1 and 1"):
        adapt(thin_network(), method, head="none", rank=8, where="0")
    with pytest.raises(InputError, match=r"32 x 32 \(2, the widest of 2 layers\)"):
        adapt(thin_network(), method, head="none", rank=33, where="*")


class Envelope(nn.Module):
    """An encoder that `cost` can build again, with one layer of a single input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = thin_network()


@pytest.mark.parametrize(("budget", "rank"), [(33 + 64, 1), (33 + 3 * 64, 3), ("99%", 16)])
def test_a_budget_reaches_past_the_thinnest_layer(budget, rank, monkeypatch):
    """Rank r costs 33 numbers in the layer of 32 x 1, which has rank 1, and 64 r in the other."""
    monkeypatch.setattr(weights, "description", lambda encoder: {})
    monkeypatch.setattr(weights, "build", lambda described: Envelope())
    (method,) = within(Envelope(), methods_of("lora"), budget)
    assert method.rank == rank
    assert lower_ranks(Envelope(), [method]) == ({} if rank == 1 else {"layers.0": 1})
