"""FiLM of shifts: a condition that adds a number to every channel after its batch norm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Shifts(nn.Module):
    """A linear map of the condition for each place in a network, made in one multiplication.

    condition (b, c) -> for each of `widths` a (b, width, 1, 1). Perez et al. 2018 (FiLM), without
    the scale; Kong et al. 2023 (USS), section III.C.

    >>> [len(shift[0]) for shift in Shifts(5, (2, 3))(torch.zeros(1, 5))]
    [2, 3]
    """

    def __init__(self, condition: int, widths: Sequence[int]):
        super().__init__()
        self.widths = tuple(widths)
        self.map = nn.Linear(condition, sum(self.widths))
        with torch.no_grad():
            for rows, width in zip(self.map.weight.split(self.widths), self.widths):
                most = math.sqrt(6 / (condition + width))  # Xavier, of each map by itself
                rows.uniform_(-most, most)
            self.map.bias.zero_()

    def forward(self, condition: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b w 1 1"], ...]:
        return self.map(condition)[:, :, None, None].split(self.widths, dim=1)
