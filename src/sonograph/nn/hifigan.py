"""HiFi-GAN's residual blocks and their sum over kernel sizes (multi-receptive-field fusion).

Kong, Kim and Bae 2020, 2.3 and appendix A. Used by HiFi-GAN, iSTFTNet and their relatives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.quick_convs import QuickConv
from sonograph.nn.weight_norm import weight_norm

SLOPE = 0.1  # of the leaky ReLUs inside; the one before the last layer has torch's default, 0.01


def same(channels: int, kernel: int, dilation: int = 1) -> nn.Module:
    """A weight-normalised convolution that keeps channels and length; it begins at N(0, 0.01)."""
    conv = QuickConv(channels, channels, kernel, dilation)
    nn.init.normal_(conv.weight, 0.0, 0.01)
    return weight_norm(conv)


class PairedBlock(nn.Module):
    """For each dilation: leaky ReLU, dilated convolution, leaky ReLU, convolution, and add.

    The block of HiFi-GAN V1 and V2. x: (b, channels, t) -> the same.
    """

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]):
        super().__init__()
        self.convs1 = nn.ModuleList(same(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(same(channels, kernel) for _ in dilations)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        for dilated, plain in zip(self.convs1, self.convs2):
            inner = dilated(F.leaky_relu(x, SLOPE))
            x = plain(F.leaky_relu(inner, SLOPE, inplace=True)).add_(x)
        return x


class SingleBlock(nn.Module):
    """For each dilation: leaky ReLU, dilated convolution, and add: the block of HiFi-GAN V3."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]):
        super().__init__()
        self.convs = nn.ModuleList(same(channels, kernel, d) for d in dilations)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        for dilated in self.convs:
            x = dilated(F.leaky_relu(x, SLOPE)).add_(x)
        return x
