from __future__ import annotations

import pytest
import torch
from torch import nn

from sonograph import registry
from sonograph.errors import InputError
from sonograph.nn.svd import rank_for, truncated_svd
from sonograph.systems.adapt.svfit import SVFit, changes, ranks
from sonograph.train.adapt import adapt, cost


def test_sixteen_times_fewer_numbers_than_lora_of_rank_8():
    base = registry.build("ast-base", device="meta")
    lora = registry.methods()["lora"].make()
    assert cost(base, (lora,)) / cost(base, (SVFit(),)) == 16


@pytest.mark.parametrize(("energy", "rank"), [("squares", 1), ("values", 3)])
def test_a_share_of_the_energy_sets_the_rank(energy, rank):
    """Singular values 10, 3, 2, 0: squares 100 of 113, values 10, 13, 15 of 15."""
    linear = nn.Linear(4, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.diag(torch.tensor([10.0, 3.0, 2.0, 0.0])))
    share = 0.88 if energy == "squares" else 0.95
    model = adapt(nn.Sequential(linear), "svfit", head="none", share=share, energy=energy)
    assert len(model[0].additions["svfit"].change) == rank


@pytest.mark.parametrize(
    ("share", "power", "rank"),
    [(1.0, 2, 3), (0.5, 1, 1), (0.79, 1, 2), (0.8, 1, 2), (0.99, 2, 3)],
)
def test_fewest_values_that_reach_a_share(share, power, rank):
    s = torch.tensor([5.0, 3.0, 2.0]) if power == 1 else torch.tensor([3.0, 2.0, 1.0])
    assert rank_for(s, share, power) == rank


def test_a_decomposition_is_the_same_wherever_it_is_made():
    torch.manual_seed(0)
    weight = torch.randn(9, 6)
    u, s, vh = truncated_svd(weight, 4)
    assert (u.gather(0, u.abs().argmax(0, keepdim=True)) > 0).all()
    again = truncated_svd(weight.clone().T.contiguous().T, 4)
    for one, other in zip((u, s, vh), again):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    best = torch.linalg.svdvals(weight)[4:].norm()
    torch.testing.assert_close((weight - (u * s) @ vh).norm(), best)


@pytest.mark.parametrize("bad", [{"rank": -1}, {"share": 0.0}, {"share": 1.5}])
def test_settings_that_mean_nothing(bad):
    with pytest.raises(InputError, match="a rank is at least 1"):
        SVFit(**bad)


def test_relative_and_absolute_changes_say_the_same_of_one_matrix():
    x = torch.randn(3, 6)
    models = []
    for name in ("svfit", "svfit-absolute"):
        torch.manual_seed(0)
        models.append(adapt(nn.Sequential(nn.Linear(6, 6)), name, head="none"))
    relative, absolute = (model[0].additions["svfit"] for model in models)
    with torch.no_grad():
        relative.change.fill_(0.1)
        absolute.change.copy_(0.1 * absolute.s0)
    torch.testing.assert_close(models[0](x), models[1](x))
    row = changes(models[0])[0]
    assert row["mean"] == pytest.approx(0.1)
    assert row["rank"] == 6


def test_the_report_lists_every_layer():
    rows = ranks(registry.build("ssast-test"), "attention.*")
    assert [row["layer"] for row in rows][:2] == [
        "blocks.0.attention.query",
        "blocks.0.attention.key",
    ]
    assert len(rows) == 8
    assert all(1 <= row["squares"] <= row["values"] <= row["full"] == 48 for row in rows)
