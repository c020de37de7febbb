from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.systems.adapt.noise_tuning import (
    NMTune,
    RepairedHead,
    load_published_head,
    regularisers,
    spectrum,
)
from sonograph.train.adapt import adapt
from sonograph.train.finetune import finetune, measure
from tests.train.test_finetune import QUICK, examples

__all__ = ["examples"]


@pytest.mark.parametrize(("width", "count"), [(2048, 33_583_104), (768, 4_729_344)])
def test_published_counts(width, count):
    with torch.device("meta"):
        head = RepairedHead(width, 10)
    beside = sum(p.numel() for p in head.project.parameters())
    assert sum(p.numel() for p in head.parameters()) - beside == count  # the scale among them


@pytest.mark.parametrize(
    ("hidden", "depth", "way"), [(12, 1, "around"), (3, 1, "through"), (9, 3, "around")]
)
def test_official_heads_of_every_shape(hidden, depth, way):
    """A bottleneck, more hidden layers, no way around the MLP: told from names and shapes."""
    torch.manual_seed(0)
    sizes = [6, *[hidden] * depth, 6]
    parts = [
        part
        for a, b in itertools.pairwise(sizes[:-1])
        for part in (torch.nn.Linear(a, b), torch.nn.BatchNorm1d(b), torch.nn.ReLU())
    ]
    mlp = torch.nn.Sequential(*parts, torch.nn.Linear(sizes[-2], 6))
    scale = torch.randn(1, 6)
    last = torch.nn.Linear(6, 3)
    state = {f"image_encoder.mlp_after.{n}": v for n, v in mlp.state_dict().items()}
    state |= {f"classification_head.{n}": v for n, v in last.state_dict().items()}
    if way == "around":
        state["image_encoder.scale_after"] = scale
    x = torch.randn(5, 6)
    with torch.no_grad():
        head = load_published_head(state).train()
        expected = mlp(x) * scale + x if way == "around" else mlp(x)
        torch.testing.assert_close(head.repair(x), expected)
        torch.testing.assert_close(head(x), last(expected))


def test_equal_directions_have_the_highest_entropy():
    """Four rows at right angles, with means of 0: four equal singular values."""
    rows = torch.tensor([[1.0, -1, 0, 0], [0, 0, 1, -1], [1, 1, -1, -1], [-1, -1, 1, 1]])
    found = spectrum(rows[:3])
    assert found.entropy == pytest.approx(math.log(3))
    assert found.largest_log_ratio == pytest.approx(math.log(3))
    narrow = spectrum(rows)  # the fourth lies along the third
    assert narrow.entropy < found.entropy
    assert narrow.largest_log_ratio < found.largest_log_ratio


@pytest.mark.parametrize("bad", [torch.ones(1, 4), torch.ones(4), torch.ones(3, 4) / 0])
def test_a_spectrum_needs_vectors(bad):
    with pytest.raises(InputError, match="two or more finite vectors"):
        spectrum(bad)


def test_vectors_without_contrast_have_no_spectrum_and_one_direction_has_no_entropy():
    with pytest.raises(InputError, match="one value again and again"):
        spectrum(torch.ones(3, 4))
    found = spectrum(torch.tensor([[1.0, 2, 3], [2, 4, 6], [1, 2, 3]]))
    assert 0 <= found.entropy < 1e-9
    assert 0 <= found.largest_log_ratio < 1e-9


@pytest.mark.parametrize(
    "bad", [{"ratio": 0}, {"depth": 0}, {"largest": 0}, {"covariance": -1.0}, {"share": math.nan}]
)
def test_settings_that_make_no_sense(bad):
    with pytest.raises(InputError, match=r"at least 1|none is below 0"):
        NMTune(**bad)


def test_terms_are_not_rounded_where_the_rest_is():
    draw = torch.Generator().manual_seed(0)
    repaired, given = torch.randn(8, 6, generator=draw), torch.randn(8, 6, generator=draw)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = regularisers(repaired, given)
    for name, value in regularisers(repaired, given).items():
        assert torch.equal(rounded[name], value), name


def test_the_terms_are_those_of_the_formulas():
    draw = torch.Generator().manual_seed(0)
    repaired, given = torch.randn(8, 6, generator=draw), torch.randn(8, 6, generator=draw)
    terms = regularisers(repaired, given)
    cov = torch.cov(repaired.T)
    off = sum(cov[i, j] ** 2 for i in range(6) for j in range(6) if i != j) / 6
    torch.testing.assert_close(terms["covariance"], off)
    one, other = (x / x.norm(dim=1, keepdim=True) for x in (repaired, given))
    torch.testing.assert_close(terms["consistency"], ((one - other) ** 2).mean())
    s = torch.linalg.svd(repaired).S
    torch.testing.assert_close(terms["share"], (s[:5] / s.sum()).mean())


def test_gradients_hold_where_singular_values_tie():
    repaired = torch.eye(6).requires_grad_(True)
    regularisers(repaired, torch.eye(6))["share"].backward()
    assert torch.isfinite(repaired.grad).all()
    nothing = torch.zeros(4, 6, requires_grad=True)
    regularisers(nothing, torch.zeros(4, 6))["share"].backward()
    assert torch.isfinite(nothing.grad).all()


def test_two_views_are_both_classified_and_one_is_held_to_the_other():
    torch.manual_seed(0)
    holder = torch.nn.Module()
    holder.head = RepairedHead(6, 2)
    views = torch.randn(5, 2, 6)
    batch = {"features": views, "targets": torch.tensor([0, 1, 0, 1, 0])}
    both = NMTune().loss(holder, batch, torch.Generator())
    single = {**batch, "features": views[:, 0]}
    assert both["loss"] != NMTune().loss(holder, single, torch.Generator())["loss"]
    free = NMTune(consistency=0.0, covariance=0.0, share=0.0)
    parts = free.loss(holder, batch, torch.Generator())
    torch.testing.assert_close(parts["loss"], both["classes"])


def test_it_learns_on_vectors_and_loads_again(examples, tmp_path):
    base = tmp_path / "base"
    weights.save_folder(base, registry.build("ssast-test", seed=3), {})
    config = dataclasses.replace(QUICK, method="nmtune").override({"train.steps": 60})
    start = weights.load(base)
    done = finetune(start, examples, examples, tmp_path / "run", config, base=str(base))
    assert done.measured.accuracy == 1
    loaded = weights.load(tmp_path / "run")
    assert torch.equal(measure(loaded, examples).scores, done.measured.scores)
    assert isinstance(loaded.head, RepairedHead)
    kept = weights.read_tensors(tmp_path / "run" / weights.DELTA)
    assert all(name.startswith("head.") for name in kept)
    assert "head.norm.running_var" in kept


def test_the_settings_are_the_methods_own():
    from sonograph.nn.heads import Classifier

    with pytest.raises(InputError, match=r"no setting 'rato'.*Did you mean 'ratio'"):
        adapt(Classifier(registry.build("ssast-test"), ["a", "b"]), "nmtune", rato=2)
