"""Transformer blocks."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonograph.nn.attention import Attention


class Feedforward(nn.Sequential):
    """Two linear layers with an exact GELU between them, applied to each token alone."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.add_module("expand", nn.Linear(width, hidden))
        self.add_module("activate", nn.GELU())
        self.add_module("contract", nn.Linear(hidden, width))


class PreNormBlock(nn.Module):
    """A transformer block that normalises before each of its two residual parts (ViT, AST).

    >>> import torch
    >>> PreNormBlock(width=8, num_heads=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, num_heads: int, mlp_ratio: float = 4.0, norm_eps: float = 1e-6):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attention = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.feedforward = Feedforward(width, int(width * mlp_ratio))

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        x = x + self.attention(self.norm1(x), mask)
        return x + self.feedforward(self.norm2(x))
