"""Self-attention over long sequences: of all tokens, or of windows and their neighbours."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from sonograph.nn.rotary import rotated

Sees = Literal["both", "past"]


class SequenceAttention(nn.Module):
    """Multi-head self-attention, (batch, tokens, width) -> the same.

    window: 0, every token sees all; W, the sequence is cut into windows of W tokens, each of which
    sees itself and the window on either side, 3 W keys: time and memory grow with the length.
    positions: "rotary" turns queries and keys, by their place in the whole sequence. sees: "past",
    no token sees a later one (and no window the next). `mask` marks the tokens that may be seen.

    Any length will do; the last window is filled up with tokens that nobody sees.

    >>> SequenceAttention(width=8, num_heads=2, window=4)(torch.zeros(1, 11, 8)).shape
    torch.Size([1, 11, 8])
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        window: int = 0,
        positions: Literal["none", "rotary"] = "none",
        sees: Sees = "both",
    ):
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is not a multiple of {num_heads} heads")
        self.num_heads, self.window, self.positions, self.sees = num_heads, window, positions, sees
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        q, k, v = rearrange(
            self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads
        )
        if self.positions == "rotary":
            q, k = rotated(q), rotated(k)
        if 0 < self.window < x.shape[1]:
            mixed = self._windows(q, k, v, mask)
        else:
            mixed = self._whole(q, k, v, mask)
        return self.project(rearrange(mixed, "b h n d -> b n (h d)"))

    def _whole(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return scaled_dot_product_attention(q, k, v, is_causal=self.sees == "past")
        seen = mask[:, None, None, :]
        if self.sees == "past":  # a clip's tokens come first: each sees at least the first
            seen = seen & torch.ones(2 * mask.shape[1:], dtype=torch.bool, device=q.device).tril()
        return scaled_dot_product_attention(q, k, v, attn_mask=seen)

    def _windows(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """q, k, v (b, h, n, d) -> (b, h, n, d), window by window."""
        n, size = q.shape[2], self.window
        fill = -n % size
        if mask is None:
            mask = torch.ones(1, n, dtype=torch.bool, device=q.device)
        beside = (size, size) if self.sees == "both" else (size, 0)
        reach = size + sum(beside)

        def around(keys: Tensor) -> Tensor:
            """(b, h, n, d) -> (b, h, windows, reach, d)"""
            keys = pad(keys, (0, 0, beside[0], fill + beside[1]))
            return keys.unfold(2, reach, size).transpose(-1, -2)

        seen = pad(mask, (beside[0], fill + beside[1])).unfold(1, reach, size)
        # a window that sees nothing is all padding: let it see anything, nobody reads it
        seen = (seen | ~seen.any(-1, keepdim=True))[:, None, :, None]
        if self.sees == "past":
            place = torch.arange(size, device=q.device)
            earlier = torch.arange(reach, device=q.device) <= place[:, None] + size
            seen = seen & earlier
            seen = seen | ~seen.any(-1, keepdim=True)
        queries = rearrange(pad(q, (0, 0, 0, fill)), "b h (w s) d -> b h w s d", s=size)
        mixed = scaled_dot_product_attention(queries, around(k), around(v), attn_mask=seen)
        return rearrange(mixed, "b h w s d -> b h (w s) d")[:, :, :n]
