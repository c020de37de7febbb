"""Location-sensitive attention: what to read next, knowing what has been read.

Chorowski et al. 2015, equations 6 to 10. Energies come from the query, the memory, and features of
the weights that were given so far. Shapes: b texts, n tokens, d numbers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Read(NamedTuple):
    """Weights of the last step and their sum over all steps."""

    weights: Float[Tensor, "b n"]
    total: Float[Tensor, "b n"]


class LocationAttention(nn.Module):
    """v . tanh(W query + V memory + U conv(weights)), a softmax over the tokens.

    sees: of which weights the convolution takes features, "total" or the last ones "and total"
    (Tacotron 2). bias: of query and convolution. padding: tokens outside the mask get no weight,
    or, as a published build has it, an energy of 0, with which they take part.

    >>> attention = LocationAttention(query=4, memory=6, width=8, filters=2, kernel=5)
    >>> memory = torch.randn(1, 7, 6)
    >>> read = attention(torch.randn(1, 4), attention.keys(memory), attention.begin(memory), None)
    >>> bool(torch.allclose(read.weights.sum(1), torch.ones(1)))
    True
    """

    def __init__(
        self,
        query: int,
        memory: int,
        width: int,
        filters: int,
        kernel: int,
        sees: Literal["total", "and total"] = "and total",
        bias: bool = False,
        padding: Literal["excluded", "zero energy"] = "excluded",
    ):
        super().__init__()
        self.query = nn.Linear(query, width, bias=bias)
        self.memory = nn.Linear(memory, width, bias=False)
        self.sees, self.padding = sees, padding
        self.convolution = nn.Conv1d(
            1 if sees == "total" else 2, filters, kernel, padding=kernel // 2, bias=bias
        )
        self.location = nn.Linear(filters, width, bias=False)
        self.energy = nn.Linear(width, 1, bias=False)

    def begin(self, memory: Float[Tensor, "b n d"]) -> Read:
        """Before the first step."""
        none = memory.new_zeros(memory.shape[:2])
        return Read(none, none)

    def keys(self, memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b n w"]:
        """What every step needs of the memory; asked once a text."""
        return self.memory(memory)

    def forward(
        self,
        query: Float[Tensor, "b q"],
        keys: Float[Tensor, "b n w"],
        before: Read,
        mask: Bool[Tensor, "b n"] | None,
    ) -> Read:
        seen = [before.total] if self.sees == "total" else [before.weights, before.total]
        places = self.location(self.convolution(torch.stack(seen, 1)).transpose(1, 2))
        energies = self.energy(torch.tanh(self.query(query)[:, None] + keys + places))[..., 0]
        if mask is not None:
            energies = energies.masked_fill(~mask, 0.0 if self.padding == "zero energy" else -1e30)
        weights = energies.softmax(1)
        return Read(weights, before.total + weights)
