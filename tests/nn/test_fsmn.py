from __future__ import annotations

import torch
import torch.nn.functional as F

from sonograph.nn.fsmn import DenseMemory, Fsmn, GatedFsmn


def test_the_dense_memory_is_grouped_convolutions_instance_norms_and_prelus():
    """Newest first: a filter of the second layer hears two neighbours of [new, old]."""
    torch.manual_seed(0)
    memory = DenseMemory(6, 4)
    for layer in memory.layers:
        for weight in (layer.gain, layer.bias, layer.slope):
            weight.data.normal_()
    x = torch.randn(2, 15, 6)
    first, second = memory.layers
    new = F.conv1d(x.mT, first.weight, padding=3, groups=6)
    new = F.prelu(F.instance_norm(new, weight=first.gain, bias=first.bias), first.slope)
    both = torch.cat([new, x.mT], dim=1)
    want = F.conv1d(both, second.weight, padding=6, dilation=2, groups=6)
    want = F.prelu(F.instance_norm(want, weight=second.gain, bias=second.bias), second.slope)
    torch.testing.assert_close(memory(x), want.mT, atol=1e-5, rtol=1e-4)


def test_the_plain_memory_is_one_convolution_with_a_way_around():
    fsmn, x = Fsmn(6, 4, "plain"), torch.randn(2, 15, 6)
    inner = fsmn.project(F.relu(fsmn.expand(x)))
    heard = F.conv1d(inner.mT, fsmn.memory.weight[:, None], padding=3, groups=6).mT
    torch.testing.assert_close(fsmn(x), x + inner + heard)


def test_one_frame_is_enough_and_clips_do_not_touch():
    torch.manual_seed(0)
    for memory in ("plain", "dilated"):
        block = GatedFsmn(8, 6, 4, memory, conv_frames=3, dropout=0.0)
        assert torch.isfinite(block(torch.randn(1, 1, 8))).all()
        x = torch.randn(2, 15, 8)
        torch.testing.assert_close(block(x)[:1], block(x[:1]))


def test_it_remembers_as_far_as_its_kernels_reach():
    fsmn = Fsmn(2, 4, "plain")
    x = torch.zeros(1, 21, 2, requires_grad=True)
    fsmn(x)[0, 10].sum().backward()
    reached = (x.grad[0].abs().sum(-1) > 0).nonzero().flatten()
    assert (int(reached.min()), int(reached.max())) == (7, 13)
