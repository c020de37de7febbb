"""The U-Net of residual blocks and shifts."""

import pytest
import torch
from torch.nn.functional import leaky_relu

from sonograph.nn.resunet import DecoderBlock, ResidualBlock, ResUNet


def test_a_residual_block_is_the_formula():
    torch.manual_seed(0)
    block = ResidualBlock(3, 5).eval()
    x, first, second = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 1, 1), torch.randn(2, 5, 1, 1)
    before = x.clone()
    with torch.no_grad():
        made = block(x, iter((first, second)))
        inner = block.conv1(leaky_relu(block.norm1(x) + first, 0.01))
        wanted = block.conv2(leaky_relu(block.norm2(inner) + second, 0.01)) + block.shortcut(x)
    torch.testing.assert_close(made, wanted)
    assert torch.equal(x, before)  # what is done in place is done to its own tensors


def test_equal_widths_need_no_shortcut():
    assert ResidualBlock(4, 4).shortcut is None


def test_the_idle_norm_and_its_shift_do_nothing():
    torch.manual_seed(0)
    block = DecoderBlock(4, 2, (1, 2)).eval()
    x, kept = torch.randn(1, 4, 3, 4), torch.randn(1, 2, 3, 8)
    shifts = [torch.randn(1, width, 1, 1) for width in block.shift_widths]
    with torch.no_grad():
        made = block(x, kept, iter(shifts))
        shifts[1] += 1
        block.idle_norm.weight.fill_(7)
        assert torch.equal(block(x, kept, iter(shifts)), made)
    assert not any(p.requires_grad for p in block.idle_norm.parameters())


@pytest.mark.parametrize("frames", [1, 4, 7])
def test_any_number_of_frames(frames):
    net = ResUNet(2, 6, (4, 4, 6)).eval()
    shifts = [torch.zeros(1, width, 1, 1) for width in net.shift_widths]
    assert net(torch.randn(1, 2, frames, 16), shifts).shape == (1, 6, frames, 16)


def test_counts_of_resunet30():
    with torch.device("meta"):
        net = ResUNet(1, 3, (32, 64, 128, 256, 384, 384))
    # the sheet's 21,391,813 less the batch norm of the 1025 bins
    assert sum(p.numel() for p in net.parameters()) == 21_391_813 - 2 * 1025
    assert sum(net.shift_widths) == 9_856


def test_every_used_weight_learns():
    net = ResUNet(1, 1, (2, 3))
    shifts = [torch.zeros(2, width, 1, 1, requires_grad=True) for width in net.shift_widths]
    net(torch.randn(2, 1, 4, 8), shifts).square().sum().backward()
    for name, weight in net.named_parameters():
        assert ("idle" in name) == (weight.grad is None), name
    idle = [n for n, shift in enumerate(shifts) if shift.grad is None or not shift.grad.any()]
    assert len(idle) == 2  # one a decoder block
