from __future__ import annotations

import math

import pytest
import torch

from sonograph.nn.s4d import DiagonalKernel, diagonal_space, frequencies


def test_starts():
    assert frequencies(6, "linear").tolist() == pytest.approx([0, math.pi, 2 * math.pi])
    legs = frequencies(64, "legs")
    assert len(legs) == 32
    assert (legs > 0).all()
    # S4D-Inv was made to follow them: the largest is near N^2 / pi
    assert legs[-1] == pytest.approx(64**2 / math.pi, rel=0.05)


def test_sizes_of_both_layers():
    def count(layer):
        return sum(p.numel() for p in layer.parameters())

    assert count(diagonal_space(64)) == 16_640  # the standalone one
    grouped = diagonal_space(
        96, groups=2, sees="both", discretise="bilinear", source="learned", start="legs"
    )
    # C of two directions, steps, B, A, skip, and the map out
    assert count(grouped) == 2 * 96 * 64 + 96 + 2 * 64 + 2 * 64 + 96 + 96 * 192 + 192


@pytest.mark.parametrize("sees", ["past", "both"])
@torch.no_grad()
def test_what_lies_beyond_a_clip_changes_nothing(sees):
    torch.manual_seed(0)
    layer = diagonal_space(8, states=16, sees=sees).eval()
    x = torch.randn(2, 300, 8)
    mask = torch.arange(300) < torch.tensor([[300], [77]])
    torch.testing.assert_close(layer(x, mask)[1, :77], layer(x[1:, :77])[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_is_seen():
    torch.manual_seed(0)
    x = torch.randn(1, 50, 8)
    other = x.clone()
    other[0, 30] += 1
    for sees, untouched in (("past", 30), ("both", 0)):
        layer = diagonal_space(8, states=16, sees=sees).eval()
        moved = (layer(other) - layer(x)).abs().amax(2)[0] > 1e-5
        assert int(moved.nonzero()[0]) == untouched
        assert moved[31:].all()


def test_kernels_do_not_depend_on_the_length_asked_for():
    torch.manual_seed(0)
    kernel = DiagonalKernel(4, 8, directions=2)
    torch.testing.assert_close(kernel(1000)[..., :17], kernel(17), atol=1e-6, rtol=1e-5)
    assert kernel(1).shape == (2, 4, 1)


def test_gradients_of_a_kernel():
    torch.manual_seed(0)
    kernel = DiagonalKernel(2, 4, groups=1, discretise="bilinear", source="learned").double()
    weights = tuple(kernel.parameters())
    kernel(9).square().sum().backward()
    for weight in weights:
        place, move = (0,) * weight.ndim, 1e-3
        with torch.no_grad():
            weight[place] += move
            up = kernel(9).double().square().sum()
            weight[place] -= 2 * move
            down = kernel(9).double().square().sum()
            weight[place] += move
        slope = float(up - down) / (2 * move)
        assert float(weight.grad[place]) == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_float32_under_autocast():
    layer, x = diagonal_space(8, states=4), torch.randn(1, 20, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert (layer(x).float() - layer(x.bfloat16()).float()).abs().max() < 0.05
        assert layer.kernel(20).dtype == torch.float32


def test_groups_have_to_divide_the_channels():
    with pytest.raises(ValueError, match="9 channels do not make 2 groups"):
        DiagonalKernel(9, groups=2)
