"""Soups beside torch's own averaging of weights (torch.optim.swa_utils) on the same models."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from sonograph import registry
from sonograph.nn.heads import Classifier
from sonograph.systems.adapt import soups


def members(count: int = 5) -> list[Classifier]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(Classifier(registry.build("ssast-test", seed=seed), ["a", "b", "c"]))
    return made


def test_the_uniform_soup_is_the_average_that_torch_keeps():
    models = members()
    average = AveragedModel(models[0])
    for model in models:
        average.update_parameters(model)
    soup = soups.uniform([model.state_dict() for model in models])
    for name, value in average.module.named_parameters():
        torch.testing.assert_close(soup[name], value.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_interpolation_is_lerp(share):
    first, second = (model.state_dict() for model in members(2))
    made = soups.interpolate(first, second, share)
    for name in first:
        want = torch.lerp(first[name], second[name], share)
        torch.testing.assert_close(made[name], want, rtol=1e-5, atol=1e-6)


def test_batch_statistics_are_those_that_torch_measures():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 3), nn.BatchNorm1d(2)
    )
    other = copy.deepcopy(model)
    batches = [torch.randn(6, 3, 20) * 3 + 1 for _ in range(4)]
    soups.reestimate_norms(model, [(batch,) for batch in batches])
    update_bn(batches, other)
    for (name, ours), theirs in zip(model.state_dict().items(), other.state_dict().values()):
        torch.testing.assert_close(ours, theirs, msg=name)
    assert not torch.allclose(model[1].running_mean, torch.zeros(4), atol=0.1)
