"""The quick way is torch's own convolution, goes only where it may, and knows a changed weight."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from sonograph.nn.hifigan import PairedBlock, SingleBlock
from sonograph.nn.quick_convs import QuickConv, QuickTransposed, Transformed, matrices
from sonograph.nn.weight_norm import fold, weight_norm

LENGTHS = (1, 5, 64, 333, 2501)  # one step, less than a kernel, blocks, and more than a piece


def exact(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What torch's own layer gives in float64."""
    plain = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.ConvTranspose1d
    return plain.forward(copy.deepcopy(layer).double(), x.double())


@pytest.mark.parametrize("taps", [3, 5, 7, 11])
def test_products_of_transforms_are_a_correlation(taps):
    of_x, of_w, back = matrices(taps)
    torch.manual_seed(0)
    x, w = torch.randn(of_x.shape[1]).double(), torch.randn(taps).double()
    wanted = x.unfold(0, taps, 1) @ w
    torch.testing.assert_close(back @ ((of_x @ x) * (of_w @ w)), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("dilation", [1, 3, 5])
@pytest.mark.parametrize(
    ("channels", "made", "taps"),
    [(6, 4, 3), (32, 1, 7), (64, 64, 7), (64, 64, 11), (96, 90, 5), (160, 160, 3)],
)
def test_equal_to_torch(channels, made, taps, dilation, clips):
    torch.manual_seed(0)
    layer = QuickConv(channels, made, taps, dilation)
    for length in LENGTHS:
        x = torch.randn(clips, channels, length)
        wanted = exact(layer, x)
        with torch.no_grad():
            for laid in (x, x.mT.contiguous().mT):
                found = layer(laid)
                assert found.dtype == torch.float32
                torch.testing.assert_close(found.double(), wanted, rtol=0, atol=4e-6)
    assert layer.held is not None
    many = min(channels, made) * taps >= 448 and taps > 3
    assert isinstance(layer.held.made, Transformed) == many


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize(
    ("taps", "stride", "padding"), [(16, 8, 4), (4, 2, 1), (8, 4, 2), (3, 1, 1), (7, 3, 0)]
)
def test_transposed_equal_to_torch(taps, stride, padding, clips):
    torch.manual_seed(0)
    layer = QuickTransposed(12, 6, taps, stride, padding)
    for length in LENGTHS:
        x = torch.randn(clips, 12, length)
        with torch.no_grad():
            found = layer(x)
        torch.testing.assert_close(found.double(), exact(layer, x), rtol=0, atol=4e-6)
    assert layer.held is not None


@pytest.mark.parametrize("block", [PairedBlock, SingleBlock])
def test_gradients_of_a_folded_block(block):
    """Outside of inference the quick layers are torch's, in values and in gradients."""
    torch.manual_seed(0)
    quick = fold(block(64, 7, (1, 3)))
    plain = copy.deepcopy(quick)
    for part in plain.modules():
        if isinstance(part, QuickConv):
            part.__class__ = nn.Conv1d
    x = torch.randn(2, 64, 90)
    seen = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    made = [model(values) for model, values in zip((quick, plain), seen)]
    assert torch.equal(*made)
    for values in made:
        values.square().sum().backward()
    assert torch.equal(seen[0].grad, seen[1].grad)
    for one, other in zip(quick.parameters(), plain.parameters()):
        assert torch.equal(one.grad, other.grad)
    with torch.inference_mode():
        torch.testing.assert_close(quick(x), plain(x), rtol=1e-5, atol=1e-6)


def test_where_it_does_not_go(monkeypatch):
    layer, x = QuickConv(64, 64, 11), torch.randn(1, 64, 100)
    layer(x)
    with torch.no_grad():
        layer.double()(x.double())
        layer.float()
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
        for place, asked in ((torch.compiler, "is_compiling"), (torch.jit, "is_tracing")):
            with monkeypatch.context() as patch:
                patch.setattr(place, asked, lambda: True)
                layer(x)
        assert layer.held is None
        layer(x)
    assert layer.held is not None


@pytest.mark.parametrize("layer", [QuickConv(64, 64, 7), QuickTransposed(8, 4, 4, 2, 1)])
def test_a_changed_weight_is_seen(layer):
    torch.manual_seed(0)
    x = torch.randn(1, layer.in_channels, 40)
    for change in (
        lambda: layer.weight.mul_(2),
        lambda: layer.load_state_dict({n: v / 3 for n, v in layer.state_dict().items()}),
        lambda: setattr(layer, "weight", nn.Parameter(-layer.weight.detach())),
    ):
        with torch.no_grad():
            layer(x)
            change()
            torch.testing.assert_close(layer(x).double(), exact(layer, x), rtol=0, atol=4e-6)


def test_copies_and_files_hold_the_weights_alone():
    layer, x = QuickConv(64, 64, 11), torch.randn(1, 64, 50)
    with torch.no_grad():
        wanted = layer(x)
        assert layer.held is not None
        for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert copied.held is None
            assert torch.equal(copied(x), wanted)
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_folded_in_inference_mode_it_is_quick_too():
    normed, x = weight_norm(QuickConv(64, 64, 7)), torch.randn(1, 64, 50)
    wanted = normed(x)
    with torch.inference_mode():
        layer = fold(nn.Sequential(copy.deepcopy(normed)))
        torch.testing.assert_close(layer(x), wanted, rtol=1e-5, atol=1e-6)
    assert layer[0].held is not None
