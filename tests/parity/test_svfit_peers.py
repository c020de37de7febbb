"""SVFit against a decomposition made apart, in NumPy, and against PEFT's split of a weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sonograph.systems.adapt.svfit import SingularValues
from sonograph.train.adapt import adapt


def layer(outputs: int = 12, inputs: int = 8) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs)


@pytest.mark.parametrize("rank", [1, 5, 8])
def test_equals_the_sum_of_a_kept_and_a_decomposed_part(rank):
    """y = W_e x + U_r (s * V_r^T x) + b of the paper, with s moved by training."""
    base = layer()
    model = adapt(nn.Sequential(base), "svfit-absolute", head="none", rank=rank)
    moved = torch.linspace(-0.5, 1.5, rank)
    with torch.no_grad():
        model[0].additions["svfit"].change.copy_(moved)
    weight = base.weight.detach().numpy().astype(np.float64)
    u, s, vh = np.linalg.svd(weight, full_matrices=False)
    kept = weight - (u[:, :rank] * s[:rank]) @ vh[:rank]
    x = np.random.default_rng(0).standard_normal((5, 8))
    inner = (s[:rank] + moved.numpy()) * (x @ vh[:rank].T)
    expected = x @ kept.T + inner @ u[:, :rank].T + base.bias.detach().numpy()
    found = model(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_the_singular_values():
    base = layer()
    model = adapt(nn.Sequential(base), "svfit-absolute", head="none")
    x = torch.randn(5, 8)
    model(x).square().sum().backward()
    u, s, vh = torch.linalg.svd(base.weight.detach().double(), full_matrices=False)
    s = s.requires_grad_(True)
    y = x.double() @ (u @ torch.diag(s) @ vh).T + base.bias.detach().double()
    y.square().sum().backward()
    found = model[0].additions["svfit"].change.grad.double()
    torch.testing.assert_close(found, s.grad, rtol=1e-5, atol=1e-5)


def test_peft_splits_off_the_same_leading_part():
    """PiSSA (Meng et al. 2024) trains both factors of it; its start is ours."""
    peft = pytest.importorskip("peft")
    base = layer()
    config = peft.LoraConfig(r=3, lora_alpha=3, target_modules=["0"], init_lora_weights="pissa")
    theirs = peft.inject_adapter_in_model(config, nn.Sequential(layer()))
    ours = SingularValues(base.weight.detach(), 3, "absolute")
    up, down = theirs[0].lora_B["default"].weight, theirs[0].lora_A["default"].weight
    leading = (ours.u * ours.s0) @ ours.vh
    torch.testing.assert_close(leading, (up @ down).detach(), rtol=1e-4, atol=1e-5)
    residual = theirs[0].base_layer.weight.detach()
    torch.testing.assert_close(base.weight.detach() - leading, residual, rtol=1e-4, atol=1e-5)
