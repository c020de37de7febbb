"""Predictors of one number a token or frame: duration, pitch, energy.

Some convolutions and a linear layer; the published ones differ in the order of normalisation and
activation, in what follows the linear layer, and in whether padding is looked at:

| | order | output |
|---|---|---|
| FastSpeech, FastSpeech 2, HF FastSpeech2Conformer | activation first | as it is: log(1 + d) |
| xcmyz/FastSpeech | norm first | ReLU: frames |
| NATSpeech durations | activation first | softplus: frames |
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

Order = Literal["activation first", "norm first"]
Output = Literal["linear", "relu", "softplus"]


class Predictor(nn.Module):
    """x (b, n, width) -> (b, n, outputs), 0 where `mask` (b, n) is false.

    compat: "published" lets convolutions see what lies beyond a text's end, as official code does.

    >>> import torch
    >>> Predictor(8, 16)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 1])
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        layers: int = 2,
        kernel: int = 3,
        dropout: float = 0.5,
        outputs: int = 1,
        order: Order = "activation first",
        output: Output = "linear",
        compat: Literal["none", "published"] = "none",
    ):
        super().__init__()
        self.order, self.output, self.compat = order, output, compat
        sizes = [width] + [hidden] * (layers - 1)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, hidden, kernel, padding=kernel // 2) for size in sizes
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in sizes)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(hidden, outputs)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n o"]:
        padding = None if mask is None else ~mask[:, :, None]
        for convolve, norm in zip(self.convolutions, self.norms):
            if padding is not None and self.compat == "none":
                x = x.masked_fill(padding, 0.0)
            x = convolve(x.transpose(1, 2)).transpose(1, 2)
            x = norm(x.relu()) if self.order == "activation first" else norm(x).relu()
            x = self.dropout(x)
        x = self.project(x)
        if self.output != "linear":
            x = x.relu() if self.output == "relu" else nn.functional.softplus(x)
        return x if padding is None else x.masked_fill(padding, 0.0)


def damped(x: Tensor, share: float) -> Tensor:
    """The same values; of the gradient only a share goes through, to what they were made of.

    A predictor behind it learns in full and disturbs what it is told by so much less (NATSpeech).
    """
    return x if share == 1 else x.detach() + share * (x - x.detach())
