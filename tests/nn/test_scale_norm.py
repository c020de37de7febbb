from __future__ import annotations

import torch
import torch.nn.functional as F

from sonograph.nn.scale_norm import GlobalNorm, ScaleNorm


def test_vectors_get_one_length_and_short_ones_stay_short():
    norm = ScaleNorm(16)
    norm.gain.data.fill_(0.5)
    x = torch.randn(3, 16)
    torch.testing.assert_close(norm(x).norm(dim=-1), torch.full((3,), 0.5 * 4.0))
    torch.testing.assert_close(norm(1e-9 * x), 0.5 * 1e-4 * x)
    assert norm(torch.zeros(1, 16)).abs().max() == 0


def test_a_whole_clip_is_one_group():
    torch.manual_seed(0)
    norm, x = GlobalNorm(6), 3 + 2 * torch.randn(2, 9, 6)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    want = F.group_norm(x.mT, 1, norm.weight, norm.bias, 1e-8).mT
    torch.testing.assert_close(norm(x), want)
