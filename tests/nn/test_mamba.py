from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sonograph.nn.mamba import LEAST_STEP, STEP_RANGE, Mamba, Taps, TimeConv
from sonograph.nn.scan import sequential_scan


def written_out(layer: Mamba, number: int, values: torch.Tensor) -> torch.Tensor:
    """One direction of a layer by its formulas, on a sequence that runs forward."""
    part = layer.directions[number]
    length = values.shape[1]
    conv = F.conv1d(
        values.transpose(1, 2),
        part.conv.weight,
        part.conv.bias,
        padding=part.conv.kernel_size[0] - 1,
        groups=values.shape[2],
    )[:, :, :length].transpose(1, 2)
    u = conv * conv.sigmoid()
    chosen = u @ part.select.weight.T
    step, B, C = chosen.split([part.rank, part.states, part.states], dim=2)
    delta = (1 + (step @ part.step.weight.T + part.step.bias).exp()).log()
    return sequential_scan(u, delta, -part.log_rates.exp(), B, C) + part.skip * u


def shaken(layer: Mamba) -> Mamba:
    """All weights away from their start, so that each counts."""
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return layer


@pytest.mark.parametrize(
    "directions", [("forward",), ("backward",), ("forward", "backward"), ("backward", "forward")]
)
@torch.no_grad()
def test_equals_the_formulas(directions):
    torch.manual_seed(0)
    layer, x = shaken(Mamba(6, directions, states=3)), torch.randn(2, 9, 6)
    values, gate = (x @ layer.expand.weight.T).chunk(2, dim=2)
    parts = [
        written_out(layer, k, values)
        if order == "forward"
        else written_out(layer, k, values.flip(1)).flip(1)
        for k, order in enumerate(directions)
    ]
    gated = sum(parts) / len(parts) * gate * gate.sigmoid()
    torch.testing.assert_close(layer(x), gated @ layer.contract.weight.T, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_flipping_swaps_the_directions_only_with_equal_weights():
    torch.manual_seed(0)
    layer, x = shaken(Mamba(6, ("forward", "backward"), states=3)), torch.randn(1, 9, 6)
    assert not torch.allclose(layer(x.flip(1)).flip(1), layer(x), atol=1e-3)
    layer.directions[1].load_state_dict(layer.directions[0].state_dict())
    torch.testing.assert_close(layer(x.flip(1)).flip(1), layer(x))


@pytest.mark.parametrize("directions", [("forward",), ("forward", "backward")])
@torch.no_grad()
def test_padding_changes_nothing(directions):
    torch.manual_seed(0)
    layer, x = shaken(Mamba(6, directions, states=3)), torch.randn(2, 9, 6)
    mask = torch.arange(9) < torch.tensor([[5], [9]])
    got = layer(x, mask)
    torch.testing.assert_close(got[0, :5], layer(x[:1, :5])[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got[1], layer(x[1:])[0], rtol=1e-5, atol=1e-6)
    other = x.clone()
    other[0, 5:] = 1e3
    torch.testing.assert_close(layer(other, mask)[mask], got[mask], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_single_direction_sees_nothing_of_what_comes_later():
    torch.manual_seed(0)
    layer, x = Mamba(6, states=3), torch.randn(1, 9, 6)
    other = x.clone()
    other[:, 6:] += 1
    torch.testing.assert_close(layer(other)[:, :6], layer(x)[:, :6])
    assert not torch.allclose(layer(other)[:, 6:], layer(x)[:, 6:])


@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("length", [1, 3, 8])
def test_the_convolution_and_its_gradients(order, length):
    torch.manual_seed(0)
    conv = TimeConv(3, 4, order).double()
    x = torch.randn(2, length, 3, dtype=torch.float64, requires_grad=True)
    turned = x.flip(1) if order == "backward" else x
    want = F.conv1d(turned.mT, conv.weight, conv.bias, padding=3, groups=3)[:, :, :length].mT
    torch.testing.assert_close(conv(x), want.flip(1) if order == "backward" else want)
    weight = conv.weight[:, 0].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda *y: Taps.apply(*y, order), (x, weight, conv.bias))


def test_steps_start_in_their_range():
    torch.manual_seed(0)
    layer = Mamba(64)
    delta = F.softplus(layer.directions[0].step.bias)
    assert LEAST_STEP <= STEP_RANGE[0] <= delta.min() * 1.001
    assert delta.max() <= STEP_RANGE[1] * 1.001
    assert delta.log().std() > 1  # of a log-uniform draw: 1.33
    assert layer.directions[0].rank == 4
    torch.testing.assert_close(-layer.directions[0].log_rates.exp()[5], -torch.arange(1.0, 17))


def test_a_layer_needs_a_direction():
    with pytest.raises(ValueError, match="needs a direction"):
        Mamba(8, ())
