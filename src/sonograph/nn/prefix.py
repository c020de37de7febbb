"""Learned keys and values that every query of an attention may attend to as well."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.adaptation import Inserted


class Prefix(Inserted):
    """`count` keys and as many values before those of the tokens. Li and Liang 2021, section 4.

    An attention that carries one as its `prefix` calls `extend` on what it computed.
    """

    def __init__(self, width: int, count: int, spread: float):
        super().__init__()
        self.keys = nn.Parameter(torch.empty(count, width).uniform_(-spread, spread))
        self.values = nn.Parameter(torch.empty(count, width).uniform_(-spread, spread))

    def extend(
        self, k: Float[Tensor, "b h n d"], v: Float[Tensor, "b h n d"], bias: Tensor | None
    ) -> tuple[Float[Tensor, "b h m d"], Float[Tensor, "b h m d"], Tensor | None]:
        """Keys, values and what is added to or allowed of the logits (.., n), with the prefix:
        it is always allowed, and no position bias is added to it."""
        more_k, more_v = (
            rearrange(x, "p (h d) -> 1 h p d", h=k.shape[1]).expand(len(k), -1, -1, -1)
            for x in (self.keys, self.values)
        )
        if bias is not None:
            allowed = torch.ones if bias.dtype == torch.bool else torch.zeros
            front = allowed((*bias.shape[:-1], len(self.keys)), dtype=bias.dtype, device=k.device)
            bias = torch.cat([front, bias], dim=-1)
        return torch.cat([more_k.to(k), k], dim=2), torch.cat([more_v.to(v), v], dim=2), bias
