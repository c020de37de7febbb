"""Positions that a grouped convolution over the tokens gives: wav2vec 2.0, HuBERT, WavLM, BEATs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv1d, gelu


class ConvPositions(nn.Module):
    """What is added to the tokens: a wide grouped convolution along them, then GELU.

    (batch, tokens, width) -> the same. The kernel has weight norm along its own axis: a gain for
    each tap, and a direction over all channels. Baevski et al. 2020, section 2. Padded tokens have
    to be zero, as what lies beyond the ends is.

    >>> ConvPositions(8, kernel=4, groups=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, kernel: int = 128, groups: int = 16):
        super().__init__()
        if width % groups:
            raise ValueError(f"width {width} is not a multiple of {groups} groups")
        self.groups = groups
        self.direction = nn.Parameter(torch.empty(width, width // groups, kernel))
        nn.init.normal_(self.direction, std=math.sqrt(4 / (kernel * width)))
        self.gain = nn.Parameter(self.direction.detach().norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        tokens, kernel = x.shape[1], self.direction.shape[2]
        weight = self.direction * (self.gain / self.direction.norm(dim=(0, 1), keepdim=True))
        y = conv1d(x.transpose(1, 2), weight, self.bias, padding=kernel // 2, groups=self.groups)
        return gelu(y[:, :, :tokens]).transpose(1, 2)  # an even kernel gives one step too many
