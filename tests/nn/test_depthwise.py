from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sonograph.nn.depthwise import DepthwiseConv, depthwise


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 7, 50])
def test_equals_a_grouped_convolution_with_its_gradients(n, dilation):
    torch.manual_seed(0)
    x = torch.randn(2, n, 6, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    want = F.conv1d(x.mT, kernels[:, None], padding=2 * dilation, dilation=dilation, groups=6).mT
    got = depthwise(x, kernels, dilation)
    torch.testing.assert_close(got, want)
    with torch.no_grad():
        torch.testing.assert_close(depthwise(x, kernels, dilation), want)
    weight = torch.randn_like(want)
    ours = torch.autograd.grad((got * weight).sum(), (x, kernels))
    theirs = torch.autograd.grad((want * weight).sum(), (x, kernels))
    torch.testing.assert_close(ours, theirs)


def test_takes_sequences_however_they_lie_in_memory():
    x = torch.randn(2, 6, 9).mT
    kernels = torch.randn(6, 3)
    torch.testing.assert_close(depthwise(x, kernels), depthwise(x.contiguous(), kernels))


def test_only_what_is_asked_for_has_a_gradient():
    kernels = torch.randn(4, 3, requires_grad=True)
    depthwise(torch.randn(1, 5, 4), kernels).sum().backward()
    assert kernels.grad is not None
    x = torch.randn(1, 5, 4, requires_grad=True)
    depthwise(x, kernels.detach()).sum().backward()
    assert x.grad is not None


def test_the_way_around_a_convolution():
    layer, x = DepthwiseConv(4, 7), torch.randn(2, 9, 4)
    torch.testing.assert_close(layer(x), x + depthwise(x, layer.weight))
