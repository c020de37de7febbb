"""The transformer block of BERT: separate projections, dropout, norm after each residual sum."""

from __future__ import annotations

from typing import Literal

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from sonograph.nn.prefix import Prefix
from sonograph.nn.transformer import Feedforward


class SelfAttention(nn.Module):
    """Multi-head self-attention with its own projection for queries, keys and values.

    (batch, tokens, width) -> the same. `mask` marks the tokens that may be attended to; without
    one every token is. dropout: of attention weights, while training.

    >>> import torch
    >>> SelfAttention(width=8, num_heads=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is not a multiple of {num_heads} heads")
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.prefix: Prefix | None = None  # of an adaptation

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        q, k, v = (
            rearrange(part(x), "b n (h d) -> b h n d", h=self.num_heads)
            for part in (self.query, self.key, self.value)
        )
        keys = None if mask is None else mask[:, None, None, :]
        if self.prefix is not None:
            k, v, keys = self.prefix.extend(k, v, keys)
        dropout = self.dropout if self.training else 0.0
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=keys, dropout_p=dropout)
        return self.project(rearrange(mixed, "b h n d -> b n (h d)"))


class BertBlock(nn.Module):
    """A transformer block with dropout on both residual parts. Devlin et al. 2019.

    order: "post" normalises after each residual sum, as BERT does; "pre" before each part.

    >>> import torch
    >>> BertBlock(width=8, num_heads=2, hidden=16)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        dropout: float = 0.1,
        norm_eps: float = 1e-12,
        order: Literal["post", "pre"] = "post",
    ):
        super().__init__()
        self.order = order
        self.attention = SelfAttention(width, num_heads, dropout)
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.feedforward = Feedforward(width, hidden)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        if self.order == "pre":
            x = x + self.dropout(self.attention(self.norm1(x), mask))
            return x + self.dropout(self.feedforward(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        return self.norm2(x + self.dropout(self.feedforward(x)))
