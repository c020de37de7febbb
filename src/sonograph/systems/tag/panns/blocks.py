"""What the trunks of PANNs are made of: blocks of convolutions in one and two dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, dropout, max_pool1d, relu, relu6

from sonograph.errors import InputError
from sonograph.nn.conv_blocks import (
    ConvBlock,
    Count,
    Lengths,
    normalised,
    within,
)


class ResidualUnit(nn.Module):
    """ResNet's unit in 1 or 2 dimensions; it shortens by pooling before the first convolution."""

    def __init__(self, dims: int, channels_in: int, channels: int, stride: int, kind: str):
        super().__init__()
        conv, norm = ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d))[dims - 1]
        self.dims, self.stride = dims, stride
        sizes, out = ((3, 3), channels) if kind == "basic" else ((1, 3, 1), 4 * channels)
        self.num = len(sizes)
        for n, size in enumerate(sizes, 1):
            last, apart = n == self.num, 2 if dims == 1 and n == 2 else 1
            ends = channels_in if n == 1 else channels, out if last else channels
            layer = conv(*ends, size, padding=apart * (size // 2), dilation=apart, bias=False)
            self.add_module(f"conv{n}", layer)
            self.add_module(f"bn{n}", norm(ends[1]))
        nn.init.zeros_(getattr(self, f"bn{self.num}").weight)
        self.shortcut = None
        if stride != 1 or channels_in != out:
            parts = {"conv": conv(channels_in, out, 1, bias=False), "norm": norm(out)}
            self.shortcut = nn.ModuleDict(parts)

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        short, length = x, lengths if lengths is None else lengths // self.stride
        if self.stride != 1:
            short = (avg_pool1d if self.dims == 1 else avg_pool2d)(x, self.stride)
            x = max_pool1d(x, self.stride) if self.dims == 1 else short
        for n in range(1, self.num + 1):
            if n == self.num:
                x = dropout(x, 0.1, self.training)
            x = getattr(self, f"conv{n}")(within(x, length))
            x = normalised(getattr(self, f"bn{n}"), x, length)
            x = relu(x) if n < self.num else x
        if self.shortcut is not None:
            short = normalised(self.shortcut["norm"], self.shortcut["conv"](short), length)  # type: ignore[arg-type]
        return relu(x + short)


class Stage(nn.Module):
    """Residual units, of which the first shortens."""

    def __init__(self, dims: int, ends: tuple[int, int], stride: int, num: int, kind: str):
        super().__init__()
        self.stride, out = stride, ends[1] * (4 if kind == "bottleneck" else 1)
        self.units = nn.ModuleList(
            ResidualUnit(dims, out if n else ends[0], ends[1], 1 if n else stride, kind)
            for n in range(num)
        )

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        for n, unit in enumerate(self.units):
            x = unit(x, lengths)
            lengths = lengths if n or lengths is None else self.after(lengths)
        return x

    def after(self, length: Count) -> Count:
        return length // self.stride


class Halve(nn.Module):
    """Means of two by two."""

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        return avg_pool2d(x, 2)

    def after(self, length: Count) -> Count:
        return length // 2


class Separable(nn.Module):
    """MobileNetV1's block: depthwise, pooling in place of a stride, pointwise.

    Without a pointwise part (`channels` None) it is a plain convolution: the ends of the nets.
    """

    def __init__(self, ends: tuple[int, int], pool: int, kernel: int, split: bool, most: float):
        super().__init__()
        self.pool, self.most = pool, most
        width = ends[0] if split else ends[1]
        groups = ends[0] if split else 1
        self.conv1 = nn.Conv2d(
            ends[0], width, kernel, padding=kernel // 2, groups=groups, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, ends[1], 1, bias=False) if split else None
        self.bn2 = nn.BatchNorm2d(ends[1]) if split else None

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        x = _pooled(self.conv1(within(x, lengths)), self.pool)
        length = None if lengths is None else self.after(lengths)
        x = normalised(self.bn1, x, length).clamp(0, self.most)
        if self.conv2 is not None and self.bn2 is not None:
            x = normalised(self.bn2, self.conv2(x), length).clamp(0, self.most)
        return x

    def after(self, length: Count) -> Count:
        return length // self.pool


class Inverted(nn.Module):
    """MobileNetV2's block: widen, depthwise, pooling in place of a stride, narrow."""

    def __init__(self, ends: tuple[int, int], pool: int, widen: int):
        super().__init__()
        self.pool, self.residual = pool, pool == 1 and ends[0] == ends[1]
        width = ends[0] * widen
        self.expand = nn.Conv2d(ends[0], width, 1, bias=False) if widen > 1 else None
        self.expand_norm = nn.BatchNorm2d(width) if widen > 1 else None
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(width)
        self.project = nn.Conv2d(width, ends[1], 1, bias=False)
        self.project_norm = nn.BatchNorm2d(ends[1])

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        came = x
        if self.expand is not None and self.expand_norm is not None:
            x = relu6(normalised(self.expand_norm, self.expand(x), lengths))
        x = _pooled(self.depthwise(within(x, lengths)), self.pool)
        length = None if lengths is None else self.after(lengths)
        x = relu6(normalised(self.depthwise_norm, x, length))
        x = normalised(self.project_norm, self.project(x), length)
        return came + x if self.residual else x

    def after(self, length: Count) -> Count:
        return length // self.pool


def _pooled(x: Tensor, pool: int) -> Tensor:
    return x if pool == 1 else avg_pool2d(x, pool)


class WaveBlock(nn.Module):
    """Convolutions along the waveform with batch norm and ReLU, then a maximum.

    ends "outer": LeeNet's, the windows of the maximum reach over the ends; "inner": the Wavegram's,
    only whole windows count, and the second convolution is dilated.
    """

    def __init__(
        self,
        ends: tuple[int, int],
        pool: int,
        num: int,
        stride: int,
        edges: Literal["outer", "inner"],
    ):
        super().__init__()
        self.pool, self.num, self.stride, self.edges = pool, num, stride, edges
        for n in range(1, num + 1):
            apart = 2 if edges == "inner" and n == 2 else 1
            self.add_module(
                f"conv{n}",
                nn.Conv1d(
                    ends[0] if n == 1 else ends[1],
                    ends[1],
                    3,
                    stride if n == 1 else 1,
                    padding=apart,
                    dilation=apart,
                    bias=False,
                ),
            )
            self.add_module(f"bn{n}", nn.BatchNorm1d(ends[1]))

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        for n in range(1, self.num + 1):
            x = getattr(self, f"conv{n}")(within(x, lengths))
            if n == 1 and lengths is not None:
                lengths = divided_up(lengths, self.stride)
            x = relu(normalised(getattr(self, f"bn{n}"), x, lengths))
        if self.pool == 1:
            return x
        around = self.pool // 2 if self.edges == "outer" else 0
        return max_pool1d(within(x, lengths), self.pool, padding=around)

    def after(self, length: Count) -> Count:
        length = divided_up(length, self.stride)
        return divided_up(length, self.pool) if self.edges == "outer" else length // self.pool


def divided_up(length: Count, by: int) -> Count:
    return -(-length // by)


class DaiBlock(nn.Module):
    """DaiNet's residual block of four convolutions, then the maximum of `pool` steps."""

    def __init__(self, ends: tuple[int, int], pool: int):
        super().__init__()
        self.pool, self.plain = pool, ends[0] == ends[1]
        for n in range(1, 5):
            layer = nn.Conv1d(ends[0] if n == 1 else ends[1], ends[1], 3, padding=1, bias=False)
            self.add_module(f"conv{n}", layer)
            self.add_module(f"bn{n}", nn.BatchNorm1d(ends[1]))
        nn.init.zeros_(self.bn4.weight)  # type: ignore[union-attr, arg-type]
        # in published files also where it is not used, and frozen there
        self.shortcut = nn.Conv1d(*ends, 1, bias=False).requires_grad_(not self.plain)
        self.shortcut_norm = nn.BatchNorm1d(ends[1]).requires_grad_(not self.plain)

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        short = x
        if not self.plain:
            short = normalised(self.shortcut_norm, self.shortcut(x), lengths)
        for n in range(1, 5):
            x = getattr(self, f"conv{n}")(within(x, lengths))
            x = normalised(getattr(self, f"bn{n}"), x, lengths)
            x = relu(x) if n < 4 else relu(x + short)
        return x if self.pool == 1 else max_pool1d(x, self.pool)

    def after(self, length: Count) -> Count:
        return length // self.pool


class Wavegram(nn.Module):
    """A learned spectrogram: (b, 1, samples) -> (b, channels, samples / 640, bins). Section III.B.

    The last channels of the strided convolutions are read as groups of `bins` frequencies.
    """

    def __init__(self, widths: Sequence[int], bins: int, channels: int):
        super().__init__()
        if widths[-1] % bins:
            raise InputError(f"{widths[-1]} channels of a Wavegram are no multiple of {bins} bins")
        self.bins = bins
        self.conv = nn.Conv1d(1, widths[0], 11, 5, padding=5, bias=False)
        self.norm = nn.BatchNorm1d(widths[0])
        self.blocks = nn.ModuleList(
            WaveBlock(ends, 4, 2, 1, "inner") for ends in itertools.pairwise(widths)
        )
        self.last = ConvBlock(widths[-1] // bins, channels, (2, 1))

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        x = self.conv(within(x, lengths))
        lengths = None if lengths is None else divided_up(lengths, 5)
        x = relu(normalised(self.norm, x, lengths))
        for block in self.blocks:
            x = block(x, lengths)
            lengths = None if lengths is None else block.after(lengths)  # type: ignore[operator]
        return self.last(x.unflatten(1, (-1, self.bins)).transpose(2, 3), lengths)

    def after(self, length: Count) -> Count:
        length = divided_up(length, 5)
        for block in (*self.blocks, self.last):
            length = block.after(length)  # type: ignore[operator]
        return length
