"""Multi-head self-attention on PyTorch's fused scaled-dot-product kernels."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from sonograph.nn.prefix import Prefix


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection for queries, keys and values.

    (batch, tokens, width) -> the same. `mask` marks the tokens that may be attended to; without
    one every token is. `dropout` of the weights, while it learns. Vaswani et al. 2017, section 3.2.

    >>> import torch
    >>> Attention(width=8, num_heads=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is not a multiple of {num_heads} heads")
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.prefix: Prefix | None = None  # of an adaptation

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        q, k, v = rearrange(
            self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads
        )
        keys = None if mask is None else mask[:, None, None, :]
        if self.prefix is not None:
            k, v, keys = self.prefix.extend(k, v, keys)
        dropout = self.dropout if self.training else 0.0
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=keys, dropout_p=dropout)
        return self.project(rearrange(mixed, "b h n d -> b n (h d)"))
