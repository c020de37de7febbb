"""EfficientViT: convolutions, and attention whose cost grows with the pixels, not their square.

Cai et al., "EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction", ICCV
2023. Stages of inverted bottlenecks halve the map; in the last two, blocks add attention with ReLU
in place of softmax, over queries, keys and values of each pixel and of its 5 x 5 neighbourhood.

Shapes: maps (b, channels, f, t).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

EXPAND, NEIGHBOURHOOD = 4, 5


def convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def separable(width: int) -> nn.Sequential:
    """A depthwise convolution and a pointwise one."""
    return nn.Sequential(
        convolution(width, width, 3, groups=width),
        nn.BatchNorm2d(width),
        nn.Hardswish(),
        convolution(width, width),
        nn.BatchNorm2d(width),
    )


def bottleneck(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """An inverted bottleneck: wider, depthwise, narrower, each with its batch norm."""
    inner = EXPAND * inputs
    return nn.Sequential(
        convolution(inputs, inner),
        nn.BatchNorm2d(inner),
        nn.Hardswish(),
        convolution(inner, inner, 3, stride, groups=inner),
        nn.BatchNorm2d(inner),
        nn.Hardswish(),
        convolution(inner, outputs),
        nn.BatchNorm2d(outputs),
    )


def plain_bottleneck(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """That of the stages with attention: biases, and one batch norm at the end."""
    inner = EXPAND * inputs
    return nn.Sequential(
        convolution(inputs, inner, bias=True),
        nn.Hardswish(),
        convolution(inner, inner, 3, stride, groups=inner, bias=True),
        nn.Hardswish(),
        convolution(inner, outputs),
        nn.BatchNorm2d(outputs),
    )


class Around(nn.Module):
    """What a part makes of a map, and the map added."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def forward(self, x: Float[Tensor, "b d f t"]) -> Float[Tensor, "b d f t"]:
        return x + self.part(x)


class LinearAttention(nn.Module):
    """Attention with ReLU(q) . ReLU(k) as weights, at two scales. Section 3.1 of the paper.

    Sums over all pixels are made once: of n pixels and heads of width h the cost is n h^2. The
    second scale has queries, keys and values summed over 5 x 5 pixels by learned weights, each with
    heads of its own.

    >>> LinearAttention(16, head_width=8)(torch.zeros(2, 16, 3, 5)).shape
    torch.Size([2, 16, 3, 5])
    """

    def __init__(self, width: int, head_width: int = 32, eps: float = 1e-5):
        super().__init__()
        if width % head_width:
            raise ValueError(f"heads of {head_width} do not divide a width of {width}")
        heads, self.head_width, self.eps = width // head_width, head_width, eps
        self.qkv = convolution(width, 3 * width)
        self.gather = nn.Sequential(
            convolution(3 * width, 3 * width, NEIGHBOURHOOD, groups=3 * width),
            convolution(3 * width, 3 * width, groups=3 * heads),
        )
        self.project = nn.Sequential(convolution(2 * width, width), nn.BatchNorm2d(width))

    def forward(self, x: Float[Tensor, "b d f t"]) -> Float[Tensor, "b d f t"]:
        near = self.qkv(x)
        both = torch.cat([near, self.gather(near)], 1)
        parts = rearrange(both, "b (h p c) f t -> p b h (f t) c", p=3, c=self.head_width)
        place = "cpu" if x.is_meta else x.device.type  # autocast knows no device without memory
        with torch.autocast(place, enabled=False):  # sums over all pixels
            q, k, v = parts.float().unbind()
            q, k = q.relu(), k.relu()
            v = F.pad(v, (0, 1), value=1.0)  # the last column sums the weights
            summed = q @ (k.transpose(-1, -2) @ v)
            heard = summed[..., :-1] / (summed[..., -1:] + self.eps)
        maps = rearrange(heard.to(x.dtype), "b h (f t) c -> b (h c) f t", f=x.shape[2])
        return self.project(maps)


class EfficientViT(nn.Sequential):
    """The trunk: (b, channels, f, t) -> (b, widths[-1], f / 32, t / 32) with five widths.

    widths and depths: of the stem and of each stage; stages begin with a bottleneck of stride 2.
    The last two go on with `depth` blocks of attention and bottleneck, those before with depth - 1
    bottlenecks.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], depths: Sequence[int], head_width: int = 32
    ):
        first, *later = widths
        steps: list[nn.Module] = [
            convolution(channels, first, 3, 2),
            nn.BatchNorm2d(first),
            nn.Hardswish(),
        ]
        steps += [Around(separable(first)) for _ in range(depths[0])]
        for n, (before, width, depth) in enumerate(zip(widths, later, depths[1:])):
            if n < len(later) - 2:
                steps.append(bottleneck(before, width, 2))
                steps += [Around(bottleneck(width, width)) for _ in range(depth - 1)]
                continue
            steps.append(plain_bottleneck(before, width, 2))
            for _ in range(depth):
                steps.append(Around(LinearAttention(width, head_width)))
                steps.append(Around(plain_bottleneck(width, width)))
        super().__init__(*steps)
