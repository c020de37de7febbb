from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from sonograph import registry, weights
from sonograph.errors import InputError
from sonograph.metrics.cost import count_weights, macs
from sonograph.nn.heads import Classifier
from sonograph.nn.thin import Thin, compression_of
from sonograph.systems.adapt.pela import (
    PELA,
    compressed,
    compression,
    feature_distillation,
    weight_perturbation,
)
from sonograph.train.adapt import adapt
from sonograph.train.finetune import Finetune, Teach, finetune
from tests.train.test_finetune import QUICK, examples

__all__ = ["examples"]


def classifier(name: str = "ssast-test") -> Classifier:
    torch.manual_seed(0)
    return Classifier(registry.build(name, seed=3), ["low", "high"])


def batch_of(examples) -> dict[str, torch.Tensor]:
    return {
        "features": examples.features[:4],
        "lengths": examples.lengths[:4],
        "targets": examples.targets[:4],
    }


def repairing(model: Classifier, teach=None, **settings):
    method = PELA(**settings)
    adapt(model, method)
    model.train()
    return method.objective(teach or Teach(Finetune()))


def test_all_of_the_blocks_and_nothing_else():
    encoder = registry.build("ssast-test")
    ranks = compression(encoder, 2).ranks
    parts = ("attention.qkv", "attention.project", "feedforward.expand", "feedforward.contract")
    assert list(ranks) == [f"blocks.{k}.{part}" for k in range(2) for part in parts]
    small = compressed(encoder, 2)
    dense = sum(encoder.get_submodule(n).weight.numel() for n in ranks)
    thin = sum(v.numel() for n in ranks for v in small.get_submodule(n).parameters() if v.ndim > 1)
    assert 0.9 * dense / 2 < thin <= dense / 2
    features = torch.zeros(1, 128, 128)
    assert macs(small, features) < 0.7 * macs(encoder, features)
    assert compression_of(encoder) is None


def test_few_outputs_and_named_layers_are_kept():
    model = nn.ModuleDict(
        {"qkv": nn.Linear(20, 60), "tiny": nn.Linear(60, 9), "my_head": nn.Linear(20, 30)}
    )
    assert list(compression(model, 2).ranks) == ["qkv"]
    assert list(compression(model, 2, skip="").ranks) == ["qkv", "my_head"]
    assert list(compression(model, 2, where="my_*", skip="").ranks) == ["my_head"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": 0.5}, "ratio is 0.5: it is at least 1"),
        ({"ratio": float("nan")}, "ratio is nan"),
        ({"feature": -1.0}, "feature is -1"),
    ],
)
def test_settings_that_mean_nothing(settings, words):
    with pytest.raises(InputError, match=words):
        PELA(**settings)


@pytest.mark.parametrize("where", ["atention.*", "blocks.7.*"])
def test_layers_that_are_not_there(where):
    with pytest.raises(InputError, match="no linear layer to make thin"):
        adapt(classifier(), "pela", where=where)


def test_a_compressed_encoder_is_not_decomposed_again():
    model = adapt(classifier(), "pela")
    before = copy.deepcopy(model.state_dict())
    adapt(model, "pela")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())
    with pytest.raises(InputError, match="compressed already, at ratio 2"):
        adapt(model, "pela", ratio=3)


def test_losses_by_hand():
    ours, theirs = [torch.zeros(2, 3, 4), torch.ones(2, 3, 4)], [torch.ones(2, 3, 4)] * 2
    assert float(feature_distillation(ours, theirs)) == pytest.approx(0.5)
    ours[0][1, 2] = 100.0  # a token of padding
    mask = torch.tensor([[True, True, True], [True, True, False]])
    assert float(feature_distillation(ours, theirs, [mask, None])) == pytest.approx(0.5)
    thin = Thin(2, 1, 2)
    with torch.no_grad():
        thin[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        thin[1].weight.copy_(torch.tensor([[2.0], [0.0]]))
    dense = torch.tensor([[2.0, 0.3], [-0.1, 0.0]])
    assert float(weight_perturbation([thin], [dense], 0.1).detach()) == pytest.approx(0.04)
    with pytest.raises(ValueError, match="zip"):
        feature_distillation(ours, theirs[:1])


def test_the_objective_is_task_and_features_and_weights(examples):
    """Recomputed from outside: the same draws, the teacher's tokens after each block."""
    model = classifier().eval()
    dense = copy.deepcopy(model.encoder)
    objective = repairing(model, feature=0.5, perturbation=2.0, slack=0.01)
    batch = batch_of(examples)
    parts = objective(model, batch, torch.Generator().manual_seed(5))
    features = Teach(Finetune()).disturbed(batch["features"], torch.Generator().manual_seed(5))
    outputs: dict[str, list[torch.Tensor]] = {"thin": [], "dense": []}
    for name, encoder in (("thin", model.encoder), ("dense", dense)):
        for block in encoder.blocks:
            block.register_forward_hook(lambda m, i, o, name=name: outputs[name].append(o))
        encoder(features, batch["lengths"])
    thin = model.encoder.get_submodule
    far = [
        float((thin(n).weight - dense.get_submodule(n).weight).detach().abs().max())
        for n in compression_of(model.encoder).ranks
    ]
    distilled = sum(float((a - b).detach().square().mean()) / 2 for a, b in zip(*outputs.values()))
    perturbed = sum((value - 0.01) ** 2 for value in far) / len(far)
    assert float(parts["features"].detach()) == pytest.approx(distilled, rel=1e-5)
    assert float(parts["weights"].detach()) == pytest.approx(perturbed, rel=1e-5)
    total = float(parts["task"].detach()) + 0.5 * distilled + 2 * perturbed
    assert float(parts["loss"].detach()) == pytest.approx(total, rel=1e-5)


def test_padding_does_not_count(examples):
    batch = batch_of(examples)
    short = batch | {"lengths": torch.full((4,), 64), "features": batch["features"][..., :64]}
    longer = nn.functional.pad(short["features"], (0, 64), value=7.0)
    still = Teach(Finetune(noise=0.0, roll_frames=0))
    found = []
    for given in (short, short | {"features": longer}):
        model = classifier()
        parts = repairing(model, still)(model, given, torch.Generator())
        found.append(float(parts["features"].detach()))
    assert found[0] > 0
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_the_teacher_is_no_part_of_the_model(examples):
    model = classifier()
    dense = model.encoder.blocks[0].attention.qkv.weight
    objective = repairing(model)
    assert model.encoder.teacher.blocks[0].attention.qkv.weight is dense
    assert not any("teacher" in name for name in model.state_dict())
    before = dense.detach().clone()
    objective(model, batch_of(examples), torch.Generator())["loss"].backward()
    assert not hasattr(model.encoder, "teacher")
    assert dense.grad is None
    assert torch.equal(dense, before)
    assert all(weight.grad is not None for weight in model.parameters())


def test_draws_are_the_same_with_and_without_a_teacher(examples):
    drawn = []
    for settings in ({}, {"feature": 0.0}):
        model, generator = classifier(), torch.Generator().manual_seed(1)
        objective = repairing(model, **settings)
        torch.manual_seed(2)
        task = objective(model, batch_of(examples), generator)["task"]
        drawn.append((float(task.detach()), torch.rand(2, generator=generator), torch.rand(2)))
    assert drawn[0][0] == drawn[1][0]
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert torch.equal(drawn[0][2], drawn[1][2])


def test_logits_are_compared_under_one_head(examples):
    model = classifier()
    objective = repairing(model, logits=3.0, feature=0.0, perturbation=0.0)
    parts = objective(model, batch_of(examples), torch.Generator())
    assert float(parts["logits"]) > 0
    loss = parts["task"] + 3 * parts["logits"]
    torch.testing.assert_close(parts["loss"], loss)
    bare = registry.build("ssast-test")
    method = PELA(logits=1.0)
    method.insert(bare)

    def listen(model, batch, generator):
        return {"loss": 0 * model(batch["features"]).values.sum()}

    with pytest.raises(InputError, match="no logits to compare"):
        method.objective(listen)(bare, batch_of(examples), torch.Generator())


def test_a_pretraining_objective_hides_the_same_from_both(examples):
    """Were the masks drawn anew for the teacher, a full-rank student would differ from it."""
    module = registry.module("ssast")
    torch.manual_seed(0)
    learner = module.Pretraining(registry.build("ssast-test"))
    method = PELA(ratio=1.0, where="blocks.0.attention.project", perturbation=0.0)
    method.insert(learner.encoder)
    with torch.no_grad():  # as if nothing were cut off
        dense = learner.encoder.teacher.blocks[0].attention.project
        dense.weight.copy_(learner.encoder.blocks[0].attention.project.weight)

    def teach(model, batch, generator):
        return model(batch["features"], batch["lengths"], generator)

    parts = method.objective(teach)(learner, batch_of(examples), torch.Generator().manual_seed(0))
    assert float(parts["features"]) < 1e-9
    assert float(parts["task"]) > 0


def test_repairing_brings_the_student_nearer(examples):
    encoder = registry.build("ssast-test", seed=3).train()
    dense = copy.deepcopy(encoder)
    method = PELA(ratio=4, perturbation=0.0)
    method.insert(encoder)

    def listen(model, batch, generator):
        return {"loss": 0 * model(batch["features"]).values.sum()}

    @torch.no_grad()
    def distance() -> torch.Tensor:
        return (encoder(examples.features).values - dense(examples.features).values).norm()

    objective, before = method.objective(listen), distance()
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-4)
    for _ in range(20):
        parts: Any = objective(encoder, batch_of(examples), torch.Generator())
        parts["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert distance() < 0.95 * before


def test_a_taught_model_is_kept_as_plain_thin_layers(examples, tmp_path):
    config = dataclasses.replace(QUICK, method="pela")
    finetune(registry.build("ssast-test"), examples, None, tmp_path, config, base="x")
    loaded = weights.load(tmp_path)
    assert loaded.describe()["encoder"]["kind"] == "compressed"
    assert (
        count_weights(loaded.encoder).total
        == count_weights(compressed(registry.build("ssast-test"))).total
    )


@pytest.mark.parametrize("method", ["full", "lora", "bitfit", "adapter", "prefix", "linear"])
def test_what_was_compressed_is_adapted_as_any_other(method, examples, tmp_path):
    base = tmp_path / "small"
    weights.save_folder(base, compressed(registry.build("ssast-test", seed=3)), {"name": "small"})
    config = dataclasses.replace(QUICK, method=method)
    done = finetune(
        weights.load(base), examples, None, tmp_path / "run", config, None, base=str(base)
    )
    again = weights.load(tmp_path / "run")
    with torch.no_grad():
        want = done.model.eval()(examples.features, examples.lengths)
        torch.testing.assert_close(again(examples.features, examples.lengths), want)


def test_joined_with_what_does_not_merge_it_loads_without_a_decomposition(
    examples, tmp_path, monkeypatch
):
    config = dataclasses.replace(QUICK, method="pela+prefix")
    encoder = registry.build("ssast-test", seed=3)
    done = finetune(encoder, examples, None, tmp_path, config)
    monkeypatch.setattr(torch.linalg, "svd", None)
    again = weights.load(tmp_path)
    with torch.no_grad():
        want = done.model.eval()(examples.features, examples.lengths)
        assert torch.equal(again(examples.features, examples.lengths), want)
