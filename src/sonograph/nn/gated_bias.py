"""Transformers whose attention sees distances through gated relative position biases.

The attention of WavLM (Chen et al. 2022, section 3.2) and of BEATs (Chen et al. 2023): one table of
biases, a row for each bucket of distances and a column a head, shared by all layers; each query
scales its head's biases by a gate of its own. DeepNorm: Wang et al. 2022, "DeepNet".
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from sonograph.nn.prefix import Prefix
from sonograph.nn.transformer import Feedforward

GateFrom = Literal["query", "input"]
Arrangement = Literal["deep", "post", "pre"]


def relative_buckets(
    distance: Int[Tensor, "*n"], num_buckets: int, max_distance: int
) -> Int[Tensor, "*n"]:
    """The bucket of each signed distance (key minus query): T5's, in both directions.

    Half of the buckets is for keys behind the query. Of each half, the first half holds one
    distance each, the others logarithmically more, up to `max_distance`; beyond, the last one.

    >>> relative_buckets(torch.tensor([0, -3, 3, -1000]), 320, 800)
    tensor([  0,   3, 163, 159])
    """
    half = num_buckets // 2
    exact = half // 2
    size = distance.abs()
    octaves = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + octaves * (half - exact)).clamp(max=half - 1).long()
    near = torch.where(size < exact, size, far)
    return near + half * (distance > 0)


class RelativeTable(nn.Module):
    """A learned bias for each head and bucket of distances: (tokens) -> (heads, queries, keys)."""

    def __init__(self, num_heads: int, num_buckets: int, max_distance: int):
        super().__init__()
        self.max_distance = max_distance
        self.weight = nn.Parameter(torch.empty(num_buckets, num_heads))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, tokens: int) -> Float[Tensor, "h n n"]:
        place = torch.arange(tokens, device=self.weight.device)
        distance = torch.arange(1 - tokens, tokens, device=self.weight.device)
        rows = relative_buckets(distance, len(self.weight), self.max_distance)
        values = self.weight[rows].float().T  # (heads, 2 tokens - 1)
        return values[:, place[None, :] - place[:, None] + tokens - 1]


class GatedAttention(nn.Module):
    """Multi-head self-attention with a gated bias on its logits.

    logits = q k / sqrt(d) + gate * bias, gate = a (b c - 1) + 2, with a and b in (0, 1) from each
    head's part of the query (BEATs) or of the layer's input (WavLM), and c learned for each head.
    Logits, softmax and weighted sum are computed in float32 whatever autocast says: biases are
    large beside the steps of bfloat16. `mask` marks the tokens that may be attended to.

    >>> GatedAttention(8, 2)(torch.zeros(1, 5, 8), torch.zeros(2, 5, 5)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self, width: int, num_heads: int, gate_from: GateFrom = "query", dropout: float = 0.0
    ):
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is not a multiple of {num_heads} heads")
        self.num_heads, self.gate_from, self.dropout = num_heads, gate_from, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.gate = nn.Linear(width // num_heads, 8)
        self.gate_scale = nn.Parameter(torch.ones(1, num_heads, 1, 1))
        self.prefix: Prefix | None = None  # of an adaptation
        self.heads: nn.Module | None = None  # which of its heads are left, see `nn.pruning`

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        bias: Float[Tensor, "h n n"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        heads = [
            rearrange(part, "b n (h d) -> b h n d", d=self.gate.weight.shape[1])
            for part in (self.query(x), self.key(x), self.value(x), x)
        ]
        if self.heads is not None:  # biases and the input come for all that there were
            left: Any = self.heads.left
            bias, heads[3] = bias[left], heads[3][:, left]
        with torch.autocast(x.device.type, enabled=False):
            q, k, v, given = (part.float() for part in heads)
            logits = self.gates(q if self.gate_from == "query" else given) * bias
            if mask is not None:
                logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
            if self.prefix is not None:
                k, v, extended = self.prefix.extend(k, v, logits)
                assert extended is not None
                logits = extended
            dropout = self.dropout if self.training else 0.0
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=logits, dropout_p=dropout)
        return self.project(rearrange(mixed, "b h n d -> b n (h d)").to(x.dtype))

    def gates(self, heads: Float[Tensor, "b h n d"]) -> Float[Tensor, "b h n 1"]:
        """How much each query wants of its head's biases, between 1 and 2 + c."""
        eight = linear(heads, self.gate.weight.float(), self.gate.bias.float())
        a, b = eight.unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, dim=-1)
        return a * (b * self.gate_scale.float() - 1) + 2


class GatedBlock(nn.Module):
    """Attention and feed-forward, each with a residual: x = norm(alpha x + f(x)), or pre-norm."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        alpha: float = 1.0,
        arrangement: Arrangement = "post",
        gate_from: GateFrom = "query",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.alpha, self.arrangement = alpha, arrangement
        self.attention = GatedAttention(width, num_heads, gate_from, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.feedforward = Feedforward(width, hidden)
        self.norm2 = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        bias: Float[Tensor, "h n n"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        if self.arrangement == "pre":
            x = x + self.drop(self.attention(self.norm1(x), bias, mask))
            return x + self.drop(self.feedforward(self.norm2(x)))
        x = self.norm1(self.alpha * x + self.drop(self.attention(x, bias, mask)))
        return self.norm2(self.alpha * x + self.drop(self.feedforward(x)))


class GatedTransformer(nn.Module):
    """Blocks that share one table of relative biases: (batch, tokens, width) -> the same.

    `arrangement="deep"` is DeepNorm: post-norm with alpha = (2 depth)^(1/4), and values, outputs
    and feed-forward layers begun smaller by beta = (8 depth)^(-1/4) (DeepNet, figure 2). What it
    does not name begins as BERT's: gates, and all layers of the other arrangements.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        num_heads: int,
        hidden: int,
        num_buckets: int = 320,
        max_distance: int = 800,
        arrangement: Arrangement = "deep",
        gate_from: GateFrom = "query",
        dropout: float = 0.0,
    ):
        super().__init__()
        deep = arrangement == "deep"
        alpha = (2 * depth) ** 0.25 if deep else 1.0
        self.relative = RelativeTable(num_heads, num_buckets, max_distance)
        blocks = [
            GatedBlock(width, num_heads, hidden, alpha, arrangement, gate_from, dropout)
            for _ in range(depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.blocks.apply(_begin)
        if deep:
            _start_deep(blocks, (8 * depth) ** -0.25)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        bias = self.relative(x.shape[1])
        for block in self.blocks:
            x = block(x, bias, mask)
        return x


def _begin(module: nn.Module) -> None:
    """BERT's start: normal of 0.02 for linear maps."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _start_deep(blocks: list[GatedBlock], beta: float) -> None:
    for block in blocks:
        attention = block.attention
        smaller: list[Any] = [attention.value, attention.project]
        smaller += [block.feedforward.expand, block.feedforward.contract]
        for layer in (attention.query, attention.key):
            nn.init.xavier_normal_(layer.weight)
        for layer in smaller:
            nn.init.xavier_normal_(layer.weight, gain=beta)
