"""The head between an encoder and a loss that compares directions."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize


class Projector(nn.Module):
    """Two layers and unit length: width -> width -> dim, as in MoCo v2 (Chen et al. 2020).

    It is left behind after pre-training; what it stands on is what transfers.

    >>> import torch
    >>> Projector(8, 4)(torch.randn(3, 8)).norm(dim=1).allclose(torch.ones(3))
    True
    """

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.expand = nn.Linear(width, width)
        self.contract = nn.Linear(width, dim)

    def forward(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b p"]:
        # directions are compared in float32 whatever the precision of the layers
        return normalize(self.contract(self.expand(pooled).relu()).float(), dim=1)
