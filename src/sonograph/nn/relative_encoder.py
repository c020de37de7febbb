"""The transformer over text with learned relative positions, of Glow-TTS, VITS and PortaSpeech.

Kim et al. 2020 (Glow-TTS), section 4; relative positions: Shaw et al. 2018. A token knows how far
others are up to `window` places to each side; tokens further off look alike from there.

    score(i, j) = q_i (k_j + a_{j-i}) / sqrt(d);   out_i = sum_j softmax(score)_ij (v_j + c_{j-i})

a and c are learned, shared by the heads, and 0 outside of the window.
Shapes: x (b, width, n), mask (b, 1, n) of 0 and 1.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.errors import InputError

Norms = Literal["before", "after"]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (b, channels, n)."""

    def __init__(self, channels: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
        turned = x.transpose(1, 2)
        normed = F.layer_norm(turned, self.weight.shape, self.weight, self.bias, self.eps)
        return normed.transpose(1, 2)


class RelativeAttention(nn.Module):
    """Self-attention with relative positions in keys and values."""

    def __init__(self, width: int, num_heads: int, window: int, dropout: float = 0.0):
        super().__init__()
        if width % num_heads:
            raise InputError(f"a width of {width} does not fall into {num_heads} heads")
        self.num_heads, self.window = num_heads, window
        head = width // num_heads
        self.query, self.key, self.value = (nn.Conv1d(width, width, 1) for _ in range(3))
        self.project = nn.Conv1d(width, width, 1)
        for part in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(part.weight)
        self.relative_keys = nn.Parameter(torch.randn(2 * window + 1, head) * head**-0.5)
        self.relative_values = nn.Parameter(torch.randn(2 * window + 1, head) * head**-0.5)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b width n"], mask: Float[Tensor, "b 1 n"]
    ) -> Float[Tensor, "b width n"]:
        b, _, n = x.shape
        query, key, value = (
            part(x).reshape(b, self.num_heads, -1, n).transpose(2, 3)
            for part in (self.query, self.key, self.value)
        )
        query = query / math.sqrt(query.shape[-1])
        scores = query @ key.transpose(2, 3)  # (b, heads, n, n)
        place, inside = self._offsets(n, x.device)
        near = query @ self.relative_keys.T  # (b, heads, n, 2 window + 1)
        scores = scores + near.gather(3, place.expand(b, self.num_heads, n, n)) * inside
        scores = scores.masked_fill(mask[:, :, None] == 0, -1e4)
        weights = self.dropout(scores.softmax(-1))
        out = weights @ value + self._near(weights) @ self.relative_values
        return self.project(out.transpose(2, 3).reshape(b, -1, n))

    def _offsets(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(n, n): where j - i stands in the tables, and whether it does."""
        at = torch.arange(n, device=device)
        offset = at[None, :] - at[:, None]
        return offset.clamp(-self.window, self.window) + self.window, offset.abs() <= self.window

    def _near(self, weights: Float[Tensor, "b h n n"]) -> Float[Tensor, "b h n places"]:
        """Of each row the weights of the 2 window + 1 tokens around it, 0 beyond the ends."""
        n, reach = weights.shape[-1], self.window
        wide = F.pad(weights, (reach, reach))
        at = torch.arange(n, device=weights.device)[:, None]
        place = at + torch.arange(2 * reach + 1, device=weights.device)
        return wide.gather(3, place.expand(*weights.shape[:2], n, 2 * reach + 1))


class ConvFeedforward(nn.Module):
    """Two convolutions with ReLU between them."""

    def __init__(
        self, width: int, inner: int, kernels: tuple[int, int] = (3, 1), dropout: float = 0.0
    ):
        super().__init__()
        self.expand = nn.Conv1d(width, inner, kernels[0])
        self.contract = nn.Conv1d(inner, width, kernels[1])
        self.padding = [((kernel - 1) // 2, kernel // 2) for kernel in kernels]
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b width n"], mask: Float[Tensor, "b 1 n"]
    ) -> Float[Tensor, "b width n"]:
        inner = self.dropout(F.relu(self.expand(F.pad(x * mask, self.padding[0]))))
        return self.contract(F.pad(inner * mask, self.padding[1])) * mask


class RelativeBlock(nn.Module):
    """Attention and feed-forward, each added to its input; norms after the sums or before."""

    def __init__(
        self,
        width: int,
        inner: int,
        num_heads: int,
        kernels: tuple[int, int],
        window: int,
        norms: Norms,
        eps: float,
        dropout: float,
    ):
        super().__init__()
        self.norms = norms
        self.attention = RelativeAttention(width, num_heads, window, dropout)
        self.norm1 = ChannelNorm(width, eps)
        self.feedforward = ConvFeedforward(width, inner, kernels, dropout)
        self.norm2 = ChannelNorm(width, eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b width n"], mask: Float[Tensor, "b 1 n"]
    ) -> Float[Tensor, "b width n"]:
        x = x * mask
        if self.norms == "before":
            x = x + self.dropout(self.attention(self.norm1(x), mask))
            return x + self.dropout(self.feedforward(self.norm2(x), mask))
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        return self.norm2(x + self.dropout(self.feedforward(x, mask)))


class ConvPrenet(nn.Module):
    """Three times convolution, norm and ReLU, then a projection that begins at 0; a residual."""

    def __init__(self, width: int, kernel: int = 5, layers: int = 3, eps: float = 1e-4):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.norms = nn.ModuleList(ChannelNorm(width, eps) for _ in range(layers))
        self.project = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.project.weight)
        assert self.project.bias is not None
        nn.init.zeros_(self.project.bias)

    def forward(
        self, x: Float[Tensor, "b width n"], mask: Float[Tensor, "b 1 n"]
    ) -> Float[Tensor, "b width n"]:
        heard = x
        for conv, norm in zip(self.convs, self.norms):
            heard = norm(conv(heard * mask)).relu()
        return (x + self.project(heard)) * mask


class RelativeEncoder(nn.Module):
    """Blocks with relative positions, behind a pre-net where there is one.

    norms: "after" each sum, or "before", which has another norm at the end.
    kernels: of the feed-forward's two convolutions.

    >>> encoder = RelativeEncoder(width=8, inner=16, num_heads=2, depth=1)
    >>> encoder(torch.zeros(1, 8, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(
        self,
        width: int,
        inner: int,
        num_heads: int,
        depth: int,
        kernels: tuple[int, int] = (3, 1),
        window: int = 4,
        norms: Norms = "after",
        prenet: bool = True,
        eps: float = 1e-4,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.prenet = ConvPrenet(width, eps=eps) if prenet else None
        self.blocks = nn.ModuleList(
            RelativeBlock(width, inner, num_heads, kernels, window, norms, eps, dropout)
            for _ in range(depth)
        )
        self.norm = ChannelNorm(width, eps) if norms == "before" else None

    def forward(
        self, x: Float[Tensor, "b width n"], mask: Float[Tensor, "b 1 n"]
    ) -> Float[Tensor, "b width n"]:
        if self.prenet is not None:
            x = self.prenet(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        if self.norm is not None:
            x = self.norm(x)
        return x * mask
