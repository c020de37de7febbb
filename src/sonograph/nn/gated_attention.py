"""Gated attention with one head: exact within groups, linear across all of them.

FLASH (Hua, Dai, Liu and Le, "Transformer Quality in Linear Time", ICML 2022) as MossFormer (Zhao
and Ma, ICASSP 2023) has it: convolutions after every linear map, two gates that share one
attention. Shapes: b clips, n frames, d width, q of queries and keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.depthwise import DepthwiseConv
from sonograph.nn.rotary import turned_by
from sonograph.nn.scale_norm import ScaleNorm


class ConvFeedforward(nn.Module):
    """Norm, linear map, SiLU, a depthwise convolution with a way around it, dropout.

    x: (b, n, d) -> (b, n, out). MossFormer, section 2.2 ("convolution module").
    """

    def __init__(self, norm: nn.Module, width: int, out: int, samples: int, dropout: float):
        super().__init__()
        self.norm = norm
        self.project = nn.Linear(width, out)
        self.conv = DepthwiseConv(out, samples)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n out"]:
        x = self.conv(F.silu(self.project(self.norm(x)), inplace=not torch.is_grad_enabled()))
        return F.dropout(x, self.dropout, self.training)


def shifted(x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
    """The first half of the channels one frame later, zeros coming in; the second as it is."""
    late, same = x.chunk(2, dim=-1)
    return torch.cat([F.pad(late, (0, 0, 1, -1)), same], dim=-1)


def grouped_attention(
    queries: Float[Tensor, "b n q"],
    keys: Float[Tensor, "b n q"],
    values: Float[Tensor, "b n e"],
    group: int,
    dropout: float = 0.0,
) -> Float[Tensor, "b n e"]:
    """relu(Q K^T / group)^2 V among the frames of each group; the last may hold fewer."""
    n = queries.shape[1]
    if torch.compiler.is_exporting():  # no choice by length: frames of zeros weigh nothing
        filled = (F.pad(t, (0, 0, 0, group - n % group)) for t in (queries, keys, values))
        q, k, v = (t.unflatten(1, (-1, group)) for t in filled)
        return _attended(q, k, v, group, dropout).flatten(1, 2)[:, :n]
    whole = n - n % group
    parts = []
    if whole:
        q, k, v = (t[:, :whole].unflatten(1, (-1, group)) for t in (queries, keys, values))
        parts.append(_attended(q, k, v, group, dropout).flatten(1, 2))
    if whole < n:
        q, k, v = (t[:, whole:] for t in (queries, keys, values))
        parts.append(_attended(q, k, v, group, dropout))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _attended(queries: Tensor, keys: Tensor, values: Tensor, group: int, dropout: float) -> Tensor:
    weights = F.relu(queries @ keys.mT / group).square()
    return F.dropout(weights, dropout, dropout > 0) @ values


class GatedAttention(nn.Module):
    """x + the gated sum of local and global attention. FLASH, figure 2; MossFormer, equations 3-9.

    x: (b, n, d); cos, sin: (n, turned / 2) of the rotary angles. `expansion` counts both gated
    branches: each is expansion d / 2 wide.
    """

    def __init__(
        self,
        width: int,
        query_width: int = 128,
        expansion: int = 4,
        group_frames: int = 256,
        conv_frames: int = 17,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.group, self.dropout = group_frames, dropout
        hidden = expansion * width
        self.hidden = ConvFeedforward(ScaleNorm(width), width, hidden, conv_frames, dropout)
        self.shared = ConvFeedforward(ScaleNorm(width), width, query_width, conv_frames, dropout)
        # four copies: queries of the local and of the global part, keys of both
        self.gamma = nn.Parameter(0.02 * torch.randn(4, query_width))
        self.beta = nn.Parameter(torch.zeros(4, query_width))
        self.out = ConvFeedforward(ScaleNorm(hidden // 2), hidden // 2, width, conv_frames, dropout)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        cos: Float[Tensor, "n half"],
        sin: Float[Tensor, "n half"],
    ) -> Float[Tensor, "b n d"]:
        late = shifted(x)
        values = self.hidden(late)
        copies = torch.addcmul(self.beta[:, None], self.shared(late)[:, None], self.gamma[:, None])
        near_q, far_q, near_k, far_k = turned_by(copies, cos, sin).unbind(1)
        attended = grouped_attention(
            near_q, near_k, values, self.group, self.dropout if self.training else 0.0
        )
        summary = far_k.mT @ values / x.shape[1]
        attended = torch.baddbmm(attended, far_q, summary)
        v, u = values.chunk(2, dim=-1)
        seen_v, seen_u = attended.chunk(2, dim=-1)
        return x + self.out(seen_u * v * torch.sigmoid(seen_v * u))
