"""Memory without recurrence: feed-forward sequential memory networks, gated, plain or dilated.

FSMN: Zhang et al. 2015; deep FSMN: Zhang, Lei, Yan and Dai, ICASSP 2018. The gated, dilated one is
the recurrent module of MossFormer2 (Zhao et al., ICASSP 2024, section 2.3), the plain one that of
its enhancement sibling. Shapes: b clips, n frames, d width, c channels of the memory.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.depthwise import DepthwiseConv, depthwise
from sonograph.nn.gated_attention import ConvFeedforward


class DilatedLayer(nn.Module):
    """Convolution along time, norm over time, PReLU; each output channel hears `heard` channels.

    x: (b, n, heard c) -> (b, n, c). Output channel i hears the neighbours heard i, heard i + 1 ...
    """

    def __init__(self, channels: int, heard: int, frames: int, dilation: int):
        super().__init__()
        self.dilation = dilation
        bound = (heard * frames) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels, heard, frames).uniform_(-bound, bound))
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))

    def forward(self, x: Float[Tensor, "b n heard_c"]) -> Float[Tensor, "b n c"]:
        heard = self.weight.shape[1]
        x = torch.stack(
            [
                depthwise(x[..., i::heard].contiguous(), self.weight[:, i], self.dilation)
                for i in range(heard)
            ]
        ).sum(0)
        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        scale = self.gain * torch.rsqrt(variance + 1e-5)
        x = torch.addcmul(self.bias - mean * scale, x, scale)
        return F.prelu(x.mT, self.slope).mT


class DenseMemory(nn.Module):
    """Layers of doubling dilation, each hearing what came out of all before it, newest first.

    x: (b, n, c) -> (b, n, c), what the last layer answers. MossFormer2, figure 3.
    """

    def __init__(self, channels: int, memory_frames: int, depth: int = 2):
        super().__init__()
        self.layers = nn.ModuleList(
            DilatedLayer(channels, i + 1, 2 * memory_frames - 1, 2**i) for i in range(depth)
        )

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        out = x
        for layer in self.layers:
            out = layer(x)
            x = torch.cat([out, x], dim=-1)
        return out


class Fsmn(nn.Module):
    """x + memory(project(relu(expand(x)))): (b, n, c) -> (b, n, c).

    The plain memory is one depthwise convolution with a way around it.
    """

    def __init__(self, channels: int, memory_frames: int, memory: Literal["plain", "dilated"]):
        super().__init__()
        self.expand = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels, bias=False)
        self.memory: nn.Module = (
            DenseMemory(channels, memory_frames)
            if memory == "dilated"
            else DepthwiseConv(channels, 2 * memory_frames - 1)
        )

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        return x + self.memory(self.project(F.relu(self.expand(x))))


class GatedFsmn(nn.Module):
    """The recurrent block: into c channels, v * fsmn(u) + input, and back; x + all of that.

    x: (b, n, d) -> (b, n, d). `memory_frames` counts the present frame and those to one side.
    """

    def __init__(
        self,
        width: int,
        channels: int = 256,
        memory_frames: int = 20,
        memory: Literal["plain", "dilated"] = "dilated",
        conv_frames: int = 17,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.enter = nn.Linear(width, channels)
        self.prelu = nn.PReLU()
        self.norm1 = nn.LayerNorm(channels)
        self.to_u, self.to_v = (
            ConvFeedforward(nn.LayerNorm(channels), channels, channels, conv_frames, dropout)
            for _ in range(2)
        )
        self.fsmn = Fsmn(channels, memory_frames, memory)
        self.norm2 = nn.LayerNorm(channels)
        self.leave = nn.Linear(channels, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        inner = self.norm1(self.prelu(self.enter(x)))
        inner = torch.addcmul(inner, self.to_v(inner), self.fsmn(self.to_u(inner)))
        return x + self.leave(self.norm2(inner))
