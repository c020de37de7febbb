"""Low-rank adaptation of a layer: y = W x + b + scale * B A x, W and b frozen.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), section 4.1. A starts
uniform as a linear layer's weight does, B starts at 0, so that the adapted model begins as the
given one. peft computes the same; this core needs no further library.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Addition, convolved


class LowRank(Addition):
    """down: (rank, inputs) is the paper's A, up: (outputs, rank) its B; matrix: what they adapt."""

    def __init__(self, matrix: Float[Tensor, "outputs inputs"], rank: int, scale: float):
        super().__init__()
        outputs, inputs = matrix.shape
        if not 1 <= rank <= min(outputs, inputs):
            raise InputError(
                f"rank {rank} does not fit a matrix of {outputs} x {inputs}: it lies between 1 and "
                f"{min(outputs, inputs)}"
            )
        self.scale = scale
        self.down = nn.Parameter(matrix.new_empty(rank, inputs))
        self.up = nn.Parameter(matrix.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    @property
    def rank(self) -> int:  # type: ignore[override]
        return len(self.down)

    def forward(self, x: Tensor, base: nn.Module) -> Tensor:
        return convolved(x, base, *self.thin())

    def thin(self) -> tuple[Float[Tensor, "r inputs"], Float[Tensor, "outputs r"]]:
        return self.down, self.scale * self.up

    def narrow(self, outputs: Tensor | None, inputs: Tensor | None) -> None:
        if outputs is not None:
            self.up = nn.Parameter(self.up.detach()[outputs], self.up.requires_grad)
        if inputs is not None:
            self.down = nn.Parameter(self.down.detach()[:, inputs], self.down.requires_grad)

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        return self.scale * (self.up @ self.down)
