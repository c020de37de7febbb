from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sonograph.nn.conv_blocks import (
    AttentionTagging,
    ConvBlock,
    mean_and_max,
    normalised,
    smoothed,
    within,
)


def test_statistics_of_a_batch_norm_are_those_of_valid_steps():
    torch.manual_seed(0)
    ours, plain = nn.BatchNorm2d(3).train(), nn.BatchNorm2d(3).train()
    x, lengths = torch.randn(2, 3, 7, 4), torch.tensor([4, 7])
    x[0, :, 4:] = torch.nan
    got = normalised(ours, x, lengths)
    steps = torch.cat([x[0, :, :4], x[1]], dim=1)[None]  # the valid ones as one clip
    want = plain(steps)
    torch.testing.assert_close(got[0, :, :4], want[0, :, :4])
    torch.testing.assert_close(got[1], want[0, :, 4:])
    torch.testing.assert_close(ours.running_mean, plain.running_mean)
    torch.testing.assert_close(ours.running_var, plain.running_var)
    assert int(ours.num_batches_tracked) == 1


def test_gradients_of_the_norm_of_valid_steps_are_torchs():
    torch.manual_seed(0)
    ours = nn.BatchNorm1d(2).train()
    plain = copy.deepcopy(ours)
    x = torch.randn(3, 2, 5)
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = torch.randn(3, 2, 5)
    (normalised(ours, first, torch.tensor([5, 5, 5])) * weight).sum().backward()
    (plain(second) * weight).sum().backward()
    torch.testing.assert_close(first.grad, second.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num", [1, 2])
def test_a_block_sees_nothing_beyond_a_clip(num):
    torch.manual_seed(0)
    block = ConvBlock(1, 4, (2, 2), 5 if num == 1 else 3, num).eval()
    x = torch.randn(2, 1, 11, 8)
    lengths = torch.tensor([7, 11])
    both, alone = block(x, lengths), block(x[:1, :, :7])
    assert block.after(7) == 3 == alone.shape[2]
    torch.testing.assert_close(both[:1, :, :3], alone)


def test_pooling_over_time_is_of_the_clip():
    x = torch.tensor([[[1.0, -3.0, 9.0]]])
    assert mean_and_max(x, None).item() == pytest.approx(7 / 3 + 9)
    assert mean_and_max(x, torch.tensor([2])).item() == pytest.approx(-1 + 1)
    assert mean_and_max(x, torch.tensor([0])).item() == 0


def test_smoothing_adds_mean_and_maximum_of_three():
    got = smoothed(torch.tensor([[[3.0, 0.0, 6.0, 90.0]]]), torch.tensor([3]))
    want = [3 + 1, 6 + 3, 6 + 2]
    assert got[0, 0, :3].tolist() == pytest.approx(want)


def test_attention_weighs_valid_steps_only():
    torch.manual_seed(0)
    head, x = AttentionTagging(4, 3), torch.randn(2, 4, 6)
    clip, steps = head(x, torch.tensor([4, 6]))
    alone, _ = head(x[:1, :, :4], None)
    torch.testing.assert_close(clip[:1], alone)
    weight = head.attend(x[1:]).clamp(-10, 10).softmax(2)
    torch.testing.assert_close(clip[1], (weight[0] * steps[1].T.sigmoid()).sum(1))
    assert not any(p.requires_grad for p in head.idle_norm.parameters())


def test_what_lies_beyond_is_zero_even_where_it_was_not_a_number():
    x = torch.full((1, 2, 3), torch.nan)
    x[..., 0] = 1
    assert within(x, torch.tensor([1])).sum() == 2
