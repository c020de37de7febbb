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
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-12)
        return x * (x.shape[-1] ** 0.5 / length) * self.gain


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
        x = self.norm(x)
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_width))
        axis = 0 if self.along == "first" else 1
        turned = _turned(qkv[:, :, :2], axis)
        to_rows = (1, 2, 0, 3) if axis == 0 else (0, 2, 1, 3)  # (other axis, heads, axis, e)
        q, k, v = (
            part.permute(to_rows) for part in (turned[:, :, 0], turned[:, :, 1], qkv[:, :, 2])
        )
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        mixed = mixed.permute((2, 0, 1, 3) if axis == 0 else (0, 2, 1, 3))
        if self.gates is not None:
            mixed = mixed * self.gates(x).sigmoid()[..., None]
        return F.dropout(self.project(mixed.flatten(2)), self.dropout, self.training)


def _turned(qk: Float[Tensor, "n m two h e"], axis: int) -> Float[Tensor, "n m two h e"]:
    """Rotary positions along an axis: pairs of neighbours as complex numbers times a phase."""
    length, width = qk.shape[axis], qk.shape[-1]
    rate = 10_000.0 ** (-torch.arange(0, width, 2, device=qk.device).float() / width)
    angle = torch.arange(length, device=qk.device).float()[:, None] * rate
    phase = torch.polar(torch.ones_like(angle), angle)
    phase = phase[:, None, None, None] if axis == 0 else phase[:, None, None]
    pairs = torch.view_as_complex(qk.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * phase).flatten(-2).to(qk.dtype)


class FeedForward(nn.Module):
    """L2 norm, width to `times` as many, exact GELU, and back."""

    def __init__(self, width: int, times: int = 4, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.norm = L2Norm(width)
        self.expand = nn.Linear(width, times * width)
        self.contract = nn.Linear(times * width, width)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        x = F.dropout(F.gelu(self.expand(self.norm(x))), self.dropout, self.training)
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
        self.attention = nn.ModuleList(
            GatedAttention(width, num_heads, head_width, along, gated, attention_dropout)
            for _ in range(depth)
        )
        self.feedforward = nn.ModuleList(FeedForward(width, 4, dropout) for _ in range(depth))
        self.norm = L2Norm(width) if norm else nn.Identity()

    def forward(self, x: Float[Tensor, "n m d"]) -> Float[Tensor, "n m d"]:
        for attend, feed in zip(self.attention, self.feedforward):
            x = x + attend(x)
            x = x + feed(x)
        return self.norm(x)
