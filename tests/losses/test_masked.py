from __future__ import annotations

import pytest
import torch

from sonograph.losses.masked import masked_reconstruction


def test_mean_over_valid_patches_and_their_pixels():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 2, 3, 4, generator=generator)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    errors = [
        sum(float(prediction[b, m, p] - target[b, m, p]) ** 2 for p in range(4)) / 4
        for b in range(2)
        for m in range(3)
        if valid[b, m]
    ]
    got = masked_reconstruction(prediction, target, valid)
    assert got.item() == pytest.approx(sum(errors) / 4, rel=1e-6)
    assert masked_reconstruction(prediction, target).item() == pytest.approx(
        torch.nn.functional.mse_loss(prediction, target).item()
    )


def test_no_gradient_reaches_what_does_not_count():
    prediction = torch.randn(1, 3, 4, requires_grad=True)
    valid = torch.tensor([[True, False, True]])
    masked_reconstruction(prediction, torch.zeros(1, 3, 4), valid).backward()
    assert (prediction.grad[0, 1] == 0).all()
    assert (prediction.grad[0, 0] != 0).all()
