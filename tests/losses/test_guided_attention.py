from __future__ import annotations

import math

import pytest
import torch

from sonograph.losses.guided_attention import guided_attention_loss


def test_it_is_the_formula():
    torch.manual_seed(0)
    attention = torch.rand(2, 3, 6, 5, dtype=torch.float64)
    frames, tokens = torch.tensor([6, 4, 1]), torch.tensor([5, 2, 1])
    wanted = 0.0
    for maps in attention:
        for b in range(3):
            for t in range(frames[b]):
                for n in range(tokens[b]):
                    off = n / int(tokens[b]) - t / int(frames[b])
                    wanted += float(maps[b, t, n]) * (1 - math.exp(-(off**2) / (2 * 0.3**2)))
    found = guided_attention_loss(attention, frames, tokens, 0.3)
    assert found.item() == pytest.approx(wanted / 2 / 11, rel=1e-6)


def test_padding_changes_nothing():
    attention = torch.rand(2, 1, 6, 5).softmax(3)
    frames, tokens = torch.tensor([6]), torch.tensor([5])
    padded = torch.nn.functional.pad(attention, (0, 3, 0, 2), value=7.0)
    wide = guided_attention_loss(padded, frames, tokens)
    torch.testing.assert_close(wide, guided_attention_loss(attention, frames, tokens))


def test_it_pulls_attention_to_the_diagonal():
    logits = torch.zeros(1, 1, 20, 10, requires_grad=True)
    length = torch.tensor([20]), torch.tensor([10])
    loss = guided_attention_loss(logits.softmax(3), *length)
    loss.backward()
    assert logits.grad is not None
    wanted = -logits.grad[0, 0]
    assert wanted[2, 1] > 0 > wanted[2, 9]
    assert wanted[18, 9] > 0 > wanted[18, 0]
