"""Guided attention: a text is read from its beginning to its end, more or less evenly.

Tachibana, Uenoyama and Aihara, "Efficiently Trainable Text-to-Speech System Based on Deep
Convolutional Networks with Guided Attention", ICASSP 2018, section 4.1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def guided_attention_loss(
    attention: Float[Tensor, "maps b t n"],
    frames: Int[Tensor, "b"],
    tokens: Int[Tensor, "b"],
    width: float = 0.2,
) -> Float[Tensor, ""]:
    """How far from the diagonal the attention of a frame lies, 0 to 1; mean over frames and maps.

    Each weight costs 1 - exp(-(token/tokens - frame/frames)^2 / (2 width^2)); the paper's mean is
    over the cells too, which makes long texts count less.

    >>> even = torch.eye(4)[None, None]
    >>> length = torch.tensor([4])
    >>> guided_attention_loss(even, length, length).item()
    0.0
    >>> bool(guided_attention_loss(even.flip(3), length, length) > 0.5)
    True
    """
    t, n = attention.shape[2:]
    frame, token = (
        torch.arange(size, device=attention.device) / lengths[:, None]
        for size, lengths in ((t, frames), (n, tokens))
    )
    cost = 1 - torch.exp(-(token[:, None, :] - frame[:, :, None]).square() / (2 * width**2))
    cost = cost * (frame < 1)[:, :, None] * (token < 1)[:, None, :]
    return (attention * cost).sum((1, 2, 3)).mean() / frames.sum()
