"""Vectors brought to one length, and sequences to one level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ScaleNorm(nn.Module):
    """g x / max(|x| / sqrt(d), 1e-5), one learned number g. Nguyen and Salazar 2019; FLASH.

    >>> ScaleNorm(2)(torch.tensor([3.0, 4.0]))
    tensor([0.8485, 1.1314], grad_fn=<MulBackward0>)
    """

    def __init__(self, width: int, epsilon: float = 1e-5):
        super().__init__()
        self.root, self.epsilon = width**0.5, epsilon
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / self.root
        return x * (self.gain / length.clamp(min=self.epsilon))


class GlobalNorm(nn.Module):
    """Mean 0 and variance 1 over all of a clip, then a scale and a shift for each channel.

    Group norm of a single group, of sequences that keep channels last: x (b, n, c).
    """

    def __init__(self, channels: int, epsilon: float = 1e-8):
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        x = F.layer_norm(x, x.shape[1:], eps=self.epsilon)
        return torch.addcmul(self.bias, x, self.weight)
