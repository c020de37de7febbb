"""ConvNeXt-V2 over time: a wide depthwise convolution, then each frame for itself.

Woo et al. 2023, "ConvNeXt V2", with one axis instead of two: PeriodWave, DiffRhythm.

Shapes: features (b, channels, frames).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class GlobalResponseNorm(nn.Module):
    """y = gamma (x n) + beta + x, where n is a channel's norm over time beside the mean channel's.

    Section 3.2 there; it begins as the identity. The norm is over all frames, padded ones too:
    what a clip becomes depends on its length and padding.

    values: (b, frames, channels).
    """

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b frames c"]) -> Float[Tensor, "b frames c"]:
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        gain = self.gamma * (norm / (norm.mean(dim=-1, keepdim=True) + self.eps)) + 1
        return torch.addcmul(self.beta, x, gain)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, LayerNorm, expand, GELU, response norm, contract, and x added.

    drop_path: how often, in training, a clip takes the way around the block.

    >>> ConvNeXtBlock(8, 24)(torch.zeros(2, 8, 5)).shape
    torch.Size([2, 8, 5])
    """

    def __init__(self, width: int, inner: int, kernel: int = 7, drop_path: float = 0.0):
        super().__init__()
        self.drop_path = drop_path
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, inner)
        self.response = GlobalResponseNorm(inner)
        self.contract = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.contract(self.response(F.gelu(self.expand(y)))).transpose(1, 2)
        if self.training and self.drop_path > 0:
            kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
            y = y * kept / (1 - self.drop_path)
        return x + y
