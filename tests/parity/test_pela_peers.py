"""The decomposition against numpy's, and the published parameter counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sonograph.nn.thin import Thin, decomposed
from sonograph.nn.transformer import PreNormBlock
from sonograph.systems.adapt.pela import compressed, weight_perturbation

COUNTS = {1.5: 58_200_808, 2: 44_081_896, 3: 29_870_824}


def parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


class DeiT(nn.Module):
    """The weights of DeiT-B, which its name and 86,567,656 parameters stand for."""

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 768, 16, 16)
        self.special = nn.Parameter(torch.zeros(1, 1, 768))
        self.positions = nn.Parameter(torch.zeros(1, 197, 768))
        self.blocks = nn.ModuleList(PreNormBlock(768, 12) for _ in range(12))
        self.norm = nn.LayerNorm(768)
        self.head = nn.Linear(768, 1000)


@pytest.mark.parametrize(("ratio", "count"), COUNTS.items())
def test_the_parameter_counts_of_deit_b(ratio, count):
    with torch.device("meta"):
        model = DeiT()
    assert parameters(model) == 86_567_656
    small = compressed(model, ratio)
    assert parameters(small) == count
    assert type(small.head) is nn.Linear
    ranks = {name: part[0].out_features for name, part in small.blocks[0].named_modules()
             if isinstance(part, Thin)}  # fmt: skip
    if ratio == 2:
        assert ranks == {
            "attention.qkv": 288,
            "attention.project": 192,
            "feedforward.expand": 307,
            "feedforward.contract": 307,
        }


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 72), (48, 12)])
def test_numpy_cuts_off_the_same(inputs, outputs):
    torch.manual_seed(1)
    dense = nn.Linear(inputs, outputs)
    matrix = dense.weight.detach().double().numpy()
    u, s, vh = np.linalg.svd(matrix.T, full_matrices=False)  # of W^T, as the official code
    k = 5
    left, right = u[:, :k] * np.sqrt(s[:k]), np.sqrt(s[:k])[:, None] * vh[:k]
    thin = decomposed(dense, k)
    np.testing.assert_allclose(thin.weight.detach().numpy(), (left @ right).T, atol=1e-6)
    x = torch.randn(3, inputs)
    want = x.double().numpy() @ left @ right + dense.bias.detach().double().numpy()
    np.testing.assert_allclose(thin(x).detach().numpy(), want, atol=1e-5)
    furthest = float(np.abs((left @ right).T - matrix).max())
    got = weight_perturbation([thin], [dense.weight], 1e-3)
    assert float(got.detach()) == pytest.approx((furthest - 1e-3) ** 2, rel=1e-4)
