"""The WaveNet core: conditions, sharing, padding, folding."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.wavenet import GatedLayers, WaveNet, condition_of
from sonograph.nn.weight_norm import fold


def test_is_the_formula_written_out() -> None:
    torch.manual_seed(0)
    network = WaveNet(width=4, kernel=3, layers=2, channels=3)
    x, told = torch.randn(2, 4, 9), torch.randn(2, 3, 9)
    found = network(x, torch.ones(2, 1, 9), told)
    parts = network.condition(told)
    inside = network.layers.gates[0](x) + parts[:, :8]
    gated = inside[:, :4].tanh() * inside[:, 4:].sigmoid()
    out = network.layers.outputs[0](gated)
    inside = network.layers.gates[1](x + out[:, :4]) + parts[:, 8:]
    last = network.layers.outputs[1](inside[:, :4].tanh() * inside[:, 4:].sigmoid())
    torch.testing.assert_close(found, out[:, 4:] + last)


def test_reach_grows_with_the_dilation() -> None:
    torch.manual_seed(0)
    network = WaveNet(width=4, kernel=3, layers=3, dilation_rate=2)
    x = torch.zeros(1, 4, 41, requires_grad=True)
    network(x, torch.ones(1, 1, 41))[..., 20].sum().backward()
    assert x.grad is not None
    reached = x.grad.abs().sum((0, 1)).nonzero()[:, 0]
    assert (reached.min(), reached.max()) == (20 - 7, 20 + 7)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = WaveNet(width=4, kernel=5, layers=3, channels=2)
    x, told = torch.randn(1, 4, 12), torch.randn(1, 2, 12)
    mask = (torch.arange(12) < 7).float()[None, None]
    alone = network(x[..., :7], torch.ones(1, 1, 7), told[..., :7])
    padded = network(x * mask, mask, told)
    torch.testing.assert_close(padded[..., :7], alone)
    assert (padded[..., 7:] == 0).all()


def test_shared_layers_are_one_set_of_weights() -> None:
    layers = GatedLayers(width=4, kernel=3, layers=2)
    first, second = condition_of(layers, 3), condition_of(layers, 5)
    told = (torch.randn(1, 3, 6), torch.randn(1, 5, 6))
    x, mask = torch.randn(1, 4, 6), torch.ones(1, 1, 6)
    whole = layers(x, mask, first(told[0])).sum() + layers(x, mask, second(told[1])).sum()
    whole.backward()
    assert all(p.grad is not None for p in layers.parameters())


def test_folded_layers_sound_the_same() -> None:
    network = WaveNet(width=4, kernel=3, layers=2, channels=3)
    given = (torch.randn(1, 4, 6), torch.ones(1, 1, 6), torch.randn(1, 3, 6))
    before = network(*given)
    torch.testing.assert_close(fold(network)(*given), before)
    assert not any("weight_g" in name for name in network.state_dict())


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        WaveNet(width=4, kernel=4, layers=1)
