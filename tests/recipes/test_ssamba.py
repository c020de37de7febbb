from __future__ import annotations

import math

import pytest
import torch

from sonograph import registry
from sonograph.errors import InputError
from sonograph.recipes import recipe_module
from sonograph.recipes.represent import ssamba
from sonograph.recipes.represent.ssamba import Pass, Scale
from sonograph.train.optim import build as optimizer_of


def test_every_preset_has_a_recipe():
    for preset in registry.presets("ssamba-*"):
        recipe = recipe_module(preset.system).recipe_of(preset.name)
        assert type(recipe).from_json(recipe.to_json()) == recipe
        assert recipe.train.steps > recipe.train.warmup_steps


def test_the_published_recipe():
    tiny = ssamba.recipe_of("ssamba-tiny")
    assert (tiny.batch, tiny.train.lr, tiny.train.optimizer) == (64, 1e-4, "adamw")
    assert (tiny.train.betas, tiny.train.weight_decay) == ((0.95, 0.999), 5e-8)


def test_rates_and_skips_are_not_decayed():
    model = registry.build("ssamba-test")
    train = ssamba.recipe_of("ssamba-tiny").train
    groups = {
        g["weight_decay"]: g["params"] for g in optimizer_of(model, train, False).param_groups
    }
    names = {id(weight): name for name, weight in model.named_parameters()}
    spared = {names[id(weight)].rsplit(".")[-1] for weight in groups[0.0]}
    assert spared == {"log_rates", "skip"}
    assert len(groups[0.0]) == 2 * 2 * 2


def test_another_systems_preset_is_refused(tmp_path):
    with pytest.raises(InputError, match="no preset of SSAMBA"):
        ssamba.pretrain("ssast-test", None, tmp_path)


def made(time_of, bytes_of, tokens=(512, 1024, 2048, 4096)) -> list[Pass]:
    return [
        Pass(kernel, n, seed, time_of(kernel, n) * (1 + 0.01 * seed), bytes_of(kernel, n))
        for n in tokens
        for seed in range(3)
        for kernel in ("scan", "fused")
    ]


def test_exponents_and_crossover_of_known_curves():
    passes = made(lambda k, n: n * 1e-3 if k == "scan" else n * n * 1e-6, lambda k, n: 4.0 * n)
    assert ssamba.exponent(passes, "scan", "seconds") == pytest.approx(1)
    assert ssamba.exponent(passes, "fused", "seconds") == pytest.approx(2)
    assert ssamba.crossover(passes, "fused") == pytest.approx(1000, rel=1e-6)
    never = made(lambda k, n: n * (2.0 if k == "scan" else 1.0), lambda k, n: 4.0 * n)
    assert math.isnan(ssamba.crossover(never, "fused"))


@pytest.mark.parametrize(
    ("factor", "verdict"), [(2.0, "shown"), (0.5, "not shown"), (1.0, "inconclusive")]
)
def test_the_rule_decides(factor, verdict):
    noise = {("scan", 0): 1.0, ("scan", 1): 1.1, ("scan", 2): 0.9}
    passes = [
        Pass(k, n, s, noise.get((k, s), factor), 1.0)
        for n in (512, 1024)
        for s in range(3)
        for k in ("scan", "fused")
    ]
    record = ssamba.speed_record(passes, "fused", ("seconds",), Scale((512, 1024), 1), "It is so.")
    assert record.verdict == verdict
    assert "1,024" in record.rule


def test_attention_of_all_pairs_is_measured_where_it_fits():
    assert ssamba.fits("materialised", 8192, 1)
    assert not ssamba.fits("materialised", 22_016, 1)
    assert ssamba.fits("fused", 65_536, 4)


@pytest.mark.slow
def test_passes_of_every_kernel_in_turn(monkeypatch):
    small = {"scan": "ssamba-test", "fused": "ssast-test", "materialised": "ssast-test"}
    monkeypatch.setattr(ssamba, "SYSTEMS", small)
    passes = ssamba.timed(Scale((64, 128), batch=1, seeds=2), "cpu")
    assert [(p.tokens, p.seed, p.kernel) for p in passes] == [
        (n, s, k) for n in (64, 128) for s in range(2) for k in ssamba.KERNELS
    ]
    assert all(p.seconds > 0 and p.bytes >= 0 for p in passes)


@torch.no_grad()
def test_both_arms_have_as_many_parameters():
    arms = ssamba.rivals(ssamba.SCALES["cpu"], seed=0)
    sizes = [sum(p.numel() for p in encoder.parameters()) for _, encoder in arms.values()]
    assert max(sizes) < 1.05 * min(sizes)
