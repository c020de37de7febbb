"""RoFormer blocks of the band-split separators: L2 norm, gated rotary attention, feed-forward.

They work on a grid of tokens (n, m, d), n outermost: `along` says which axis attention mixes, so
that time and frequency take turns without the grid being moved.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Along = Literal["first", "second"]

CACHED = 2048  # tokens that are worked on at once on a processor


class L2Norm(nn.Module):
    """x / |x| times sqrt(d) times a learned gain: the field calls it RMSNorm.

    Its only guard is |x| >= 1e-12, so that quiet tokens are scaled up like loud ones.

    >>> L2Norm(2)(torch.tensor([3.0, 4.0]))
    tensor([0.8485, 1.1314], grad_fn=<MulBackward0>)
    """

    def __init__(self, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return unit(x) * self.gain

    def into(self, linear: nn.Linear, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n o"]:
        """A linear map of the normed tokens, from `unit(x)`: the gain is put into the weights,
        which are smaller than the tokens.
        """
        return F.linear(x, linear.weight * self.gain, linear.bias)


def unit(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """x / |x| times sqrt(d), without a gain."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-12)
    return x * (x.shape[-1] ** 0.5 / length)


class GatedAttention(nn.Module):
    """Self-attention with rotary positions and a sigmoid gate a head; no biases but the gates'.

    (n, m, d) -> the same, attending along the first or the second axis. Heads may be of any width:
    num_heads x head_width need not be d. Rotary angles grow with theta 10000 over the whole head
    (Su et al. 2021); the gate is a linear map of the normed input.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        head_width: int,
        along: Along,
        gated: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_heads, self.head_width, self.along = num_heads, head_width, along
        self.dropout = dropout
        inner = num_heads * head_width
        self.norm = L2Norm(width)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.gates = nn.Linear(width, num_heads) if gated else None
        self.project = nn.Linear(inner, width, bias=False)

    def forward(self, x: Float[Tensor, "n m d"]) -> Float[Tensor, "n m d"]:
        x = unit(x)
        qkv = self.norm.into(self.qkv, x).unflatten(-1, (3, self.num_heads, self.head_width))
        first = self.along == "first"
        # (three, other axis, heads, axis, e): the kernel is faster on whole rows than across them
        qkv = qkv.permute((2, 1, 3, 0, 4) if first else (2, 0, 3, 1, 4)).contiguous()
        q, k = _turned(qkv[:2]).unbind()
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, qkv[2], dropout_p=dropout)
        mixed = mixed.permute((2, 0, 1, 3) if first else (0, 2, 1, 3))
        if self.gates is not None:
            mixed = mixed * self.norm.into(self.gates, x).sigmoid()[..., None]
        return F.dropout(self.project(mixed.flatten(2)), self.dropout, self.training)


def _turned(x: Float[Tensor, "*batch n e"]) -> Float[Tensor, "*batch n e"]:
    """`nn.rotary.rotated`, in one pass: pairs of neighbours as complex numbers times a phase."""
    length, width = x.shape[-2:]
    rate = 10_000.0 ** (-torch.arange(0, width, 2, device=x.device).float() / width)
    angle = torch.arange(length, device=x.device).float()[:, None] * rate
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    turned = pairs * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


class FeedForward(nn.Module):
    """L2 norm, width to `times` as many, exact GELU, and back."""

    def __init__(self, width: int, times: int = 4, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.norm = L2Norm(width)
        self.expand = nn.Linear(width, times * width)
        self.contract = nn.Linear(times * width, width)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        x = F.dropout(F.gelu(self.norm.into(self.expand, unit(x))), self.dropout, self.training)
        return F.dropout(self.contract(x), self.dropout, self.training)


class Roformer(nn.Module):
    """`depth` blocks of attention and feed-forward, each around a residual, along one axis.

    norm: whether an L2 norm closes it (Mel-RoFormer's do, BS-RoFormer's do not).
    (n, m, d) -> the same.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        num_heads: int,
        head_width: int,
        along: Along,
        gated: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
        norm: bool = True,
    ):
        super().__init__()
        self.along = along
        self.attention = nn.ModuleList(
            GatedAttention(width, num_heads, head_width, along, gated, attention_dropout)
            for _ in range(depth)
        )
        self.feedforward = nn.ModuleList(FeedForward(width, 4, dropout) for _ in range(depth))
        self.norm = L2Norm(width) if norm else nn.Identity()

    def forward(self, x: Float[Tensor, "n m d"]) -> Float[Tensor, "n m d"]:
        if x.device.type != "cpu" or torch.compiler.is_exporting():
            return self.rows(x)
        # rows do not see each other: a few at a time stay in the cache
        other = 1 if self.along == "first" else 0
        few = max(1, CACHED // x.shape[1 - other])
        return torch.cat([self.rows(part) for part in x.split(few, dim=other)], dim=other)

    def rows(self, x: Float[Tensor, "n m d"]) -> Float[Tensor, "n m d"]:
        """All blocks on some rows."""
        for attend, feed in zip(self.attention, self.feedforward):
            x = x + attend(x)
            x = x + feed(x)
        return self.norm(x)
