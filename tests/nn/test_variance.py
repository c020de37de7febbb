from __future__ import annotations

import pytest
import torch

from sonograph.nn.variance import Predictor, damped


@pytest.mark.parametrize("order", ["activation first", "norm first"])
@pytest.mark.parametrize("output", ["linear", "relu", "softplus"])
@torch.no_grad()
def test_equals_the_formula(order, output):
    torch.manual_seed(0)
    model, x = Predictor(4, 6, order=order, output=output).eval(), torch.randn(2, 7, 4)
    h = x.transpose(1, 2)
    for layer in model.convolutions:
        h = torch.nn.functional.conv1d(h, layer.weight, layer.bias, padding=1)
        h = h.relu() if order == "activation first" else h
        h = torch.nn.functional.layer_norm(h.transpose(1, 2), (6,)).transpose(1, 2)
        h = h if order == "activation first" else h.relu()
    h = h.transpose(1, 2) @ model.project.weight.T + model.project.bias
    want = {"linear": h, "relu": h.relu(), "softplus": (1 + h.exp()).log()}[output]
    torch.testing.assert_close(model(x), want)


@torch.no_grad()
def test_padding_changes_nothing_unless_it_is_asked_to():
    torch.manual_seed(0)
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    x = torch.randn(2, 7, 4)
    model = Predictor(4, 6, outputs=2).eval()
    out = model(x, mask)
    torch.testing.assert_close(out[1:, :4], model(x[1:, :4]))
    assert out[1, 4:].abs().max() == 0
    model.compat = "published"
    assert not torch.allclose(model(x, mask)[1:, :4], model(x[1:, :4]), atol=1e-4)


def test_a_share_of_the_gradient_goes_through():
    x = torch.randn(3, 4, requires_grad=True)
    for share in (0.0, 0.1, 1.0):
        x.grad = None
        torch.testing.assert_close(damped(x, share), x)
        damped(x, share).square().sum().backward()
        torch.testing.assert_close(x.grad, share * 2 * x.detach())
