"""The WaveNet core of flow-based speech models: dilated convolutions, gates, a sum of skips.

Prenger, Valle and Catanzaro 2019 (WaveGlow), figure 1; since then in Glow-TTS, VITS, PortaSpeech.
Every sample is convolved to both sides, unlike in the first WaveNet. Layer i of n:

    a, b = split(conv_k(x) + condition_i);   g = tanh(a) sigmoid(b)
    residual, skip = split(conv_1(g));       x = (x + residual) mask          (the last has no
                                                                               residual)
Shapes: x (b, width, t), condition (b, channels, t) or (b, channels, 1), mask (b, 1, t) of 0 and 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.weight_norm import WeightNorm, weight_norm


class GatedLayers(nn.Module):
    """The layers without their condition, so that several networks may share them.

    condition, where there is one, holds 2 width channels of each layer, one layer after the other.
    """

    def __init__(
        self, width: int, kernel: int, layers: int, dilation_rate: int = 1, dropout: float = 0.0
    ):
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel} has no middle: it must be odd")
        self.width, self.count = width, layers
        self.gates, self.outputs = nn.ModuleList(), nn.ModuleList()
        self.dropout = nn.Dropout(dropout)
        for layer in range(layers):
            dilation = dilation_rate**layer
            padding = dilation * (kernel - 1) // 2
            self.gates.append(
                weight_norm(nn.Conv1d(width, 2 * width, kernel, dilation=dilation, padding=padding))
            )
            halves = 2 if layer < layers - 1 else 1
            self.outputs.append(weight_norm(nn.Conv1d(width, halves * width, 1)))

    @property
    def condition_width(self) -> int:
        return 2 * self.width * self.count

    def forward(
        self,
        x: Float[Tensor, "b width t"],
        mask: Float[Tensor, "b 1 t"],
        condition: Float[Tensor, "b channels _"] | None = None,
    ) -> Float[Tensor, "b width t"]:
        parts = [None] * self.count if condition is None else condition.chunk(self.count, dim=1)
        skips = torch.zeros_like(x)
        for layer, (gate, output, part) in enumerate(zip(self.gates, self.outputs, parts)):
            heard = self.dropout(gate(x))
            a, b = (heard if part is None else heard + part).chunk(2, dim=1)
            found = output(torch.tanh(a) * torch.sigmoid(b))
            if layer < self.count - 1:
                residual, found = found.chunk(2, dim=1)
                x = (x + residual) * mask
            skips = skips + found
        return skips * mask


class WaveNet(nn.Module):
    """Gated layers with a condition of their own; channels = 0: they have none.

    >>> network = WaveNet(width=8, kernel=3, layers=2, channels=5)
    >>> network(torch.zeros(1, 8, 7), torch.ones(1, 1, 7), torch.zeros(1, 5, 7)).shape
    torch.Size([1, 8, 7])
    """

    def __init__(
        self,
        width: int,
        kernel: int,
        layers: int,
        channels: int = 0,
        dilation_rate: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.layers = GatedLayers(width, kernel, layers, dilation_rate, dropout)
        self.condition = condition_of(self.layers, channels) if channels else None

    def forward(
        self,
        x: Float[Tensor, "b width t"],
        mask: Float[Tensor, "b 1 t"],
        condition: Float[Tensor, "b channels _"] | None = None,
    ) -> Float[Tensor, "b width t"]:
        if self.condition is not None and condition is not None:
            return self.layers(x, mask, self.condition(condition))
        return self.layers(x, mask)


def condition_of(layers: GatedLayers, channels: int) -> WeightNorm:
    """What makes a condition of so many channels into that of each of the layers."""
    return weight_norm(nn.Conv1d(channels, layers.condition_width, 1))
