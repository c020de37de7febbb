"""Convolutions along time that are quick on a processor where nothing is learnt.

For vocoders of HiFi-GAN's kind, which spend nearly all of their time in convolutions of many
channels. In float32 on a processor, where no gradients are recorded, these layers go another way to
the same numbers; everywhere else (in training, on an accelerator, in an exported model) they are
torch's own. Shapes and names of weights are torch's in any case.

What is fast, and why (HiFi-GAN V1 on one core of an EPYC, 110 GFLOP/s at best):

- Channels innermost in memory, (b, t, c), while shapes stay (b, c, t). What a layer gives is then
  laid as the next one wants it, and what is done to each number keeps it so. The library's own way
  for time innermost lays every map anew, to and fro: 7.9 ms where 32 channels and 3 taps need 5.6.
- A transposed convolution as a plain one with `stride` times the channels: those of a step lie one
  behind the other in time already. 17 ms become 8 where 64 channels are made 32.
- Long kernels over many channels as products of Fourier transforms, block by block within the
  cache. A block of 32 steps gives 22 steps of 11 taps with 47 products of a channel by another one
  instead of 242: 36 ms become 16 with 256 channels, 73 become 39 with 128, 38 become 27 with 64; 32
  channels gain nothing. The transforms are small dense matrices, made in float64; what comes out
  is nearer to the exact sum than the sum of so many products in float32 is.

The transformed kernels are made at the first call and held beside the weights: up to 4.3 numbers
for each of theirs, 166 MB beside the 56 MB of V1 and 1.3 MB beside the bundled voice's vocoder.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor, nn

PIECE = 2048  # steps whose transforms a thread holds at once
LEAST = 448  # channels times taps from which on transforms pay


class QuickConv(nn.Conv1d):
    """A convolution that keeps the length, `taps` odd: x (b, c, t) -> (b, d, t)."""

    held: Held | None = None

    def __init__(self, channels: int, made: int, taps: int, dilation: int = 1):
        super().__init__(
            channels, made, taps, dilation=dilation, padding=dilation * (taps - 1) // 2
        )

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d t"]:
        if not may_hurry(x, self.weight):
            return super().forward(x)
        if self.held is None or not self.held.is_of(self.weight):
            self.held = Held.of(self.weight, prepared(self.weight))
        kernel, padding, dilation = self.held.made, int(self.padding[0]), self.dilation[0]
        if isinstance(kernel, Transformed):
            return by_transforms(x, kernel, self.bias, dilation)
        return convolved(x, kernel, self.bias, padding, dilation)

    def __getstate__(self) -> dict[str, Any]:
        return without_held(self)


class QuickTransposed(nn.ConvTranspose1d):
    """A transposed convolution: x (b, c, t) -> (b, d, (t - 1) stride - 2 padding + taps)."""

    held: Held | None = None

    def __init__(self, channels: int, made: int, taps: int, stride: int, padding: int):
        super().__init__(channels, made, taps, stride, padding)

    def forward(
        self, x: Float[Tensor, "b c t"], output_size: list[int] | None = None
    ) -> Float[Tensor, "b d n"]:
        if output_size is not None or not may_hurry(x, self.weight):
            return super().forward(x, output_size)
        stride, padding = self.stride[0], int(self.padding[0])
        if self.held is None or not self.held.is_of(self.weight):
            self.held = Held.of(self.weight, side_by_side(self.weight, stride))
        kernel, bias = self.held.made, None if self.bias is None else self.bias.repeat(stride)
        wide = convolved(x, kernel, bias, kernel.shape[3] - 1)
        steps = wide.mT.reshape(len(x), -1, self.out_channels)
        return steps[:, padding : (x.shape[2] - 1) * stride + self.kernel_size[0] - padding].mT

    def __getstate__(self) -> dict[str, Any]:
        return without_held(self)


def without_held(layer: nn.Module) -> dict[str, Any]:
    """A layer's state for copies and files: what can be made again of its weight is left out."""
    return {name: value for name, value in layer.__dict__.items() if name != "held"}


def may_hurry(x: Tensor, weight: Tensor) -> bool:
    """Whether nothing is learnt, followed or cast here, and it is the processor that computes."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and not torch.is_grad_enabled()
        and not weight.is_inference()  # it could not tell that it has changed
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


@dataclasses.dataclass(frozen=True)
class Held:
    """What was made of a weight, and of which state of it."""

    weight: Tensor
    version: int
    made: Any

    @classmethod
    def of(cls, weight: Tensor, made: Any) -> Held:
        return cls(weight, weight._version, made)

    def is_of(self, weight: Tensor) -> bool:
        """Whether it is still that weight, unchanged (told as autograd tells it)."""
        return self.weight is weight and self.version == weight._version


def prepared(weight: Float[Tensor, "d c taps"]) -> Tensor | Transformed:
    """What `by_transforms` takes where that pays, else what `convolved` does."""
    made, channels, taps = weight.shape
    if taps >= 5 and taps * min(channels, made) >= LEAST:
        return Transformed.of(weight)
    return innermost(weight)


def innermost(x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c 1 t"]:
    """An image one pixel high, channels innermost in memory."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def convolved(
    x: Float[Tensor, "b c t"],
    kernel: Float[Tensor, "d c 1 taps"],
    bias: Float[Tensor, "d"] | None,
    padding: int,
    dilation: int = 1,
) -> Float[Tensor, "b d n"]:
    """`conv1d` along the width of images."""
    made = F.conv2d(innermost(x), kernel, bias, padding=(0, padding), dilation=(1, dilation))
    return made.squeeze(2)


def side_by_side(
    weight: Float[Tensor, "c d taps"], stride: int
) -> Float[Tensor, "stride*d c 1 reach"]:
    """The kernel of the plain convolution: output channels of a step's `stride` places in turn."""
    channels, made, taps = weight.shape
    reach = -(-taps // stride)
    each = F.pad(weight, (0, reach * stride - taps)).unflatten(2, (reach, stride)).flip(2)
    return innermost(each.permute(3, 1, 0, 2).reshape(stride * made, channels, reach))


# --- products of transforms ----------------------------------------------------------------------


def block_steps(taps: int) -> int:
    """Steps of a block, n: the power of two that is at least twice the kernel.

    >>> block_steps(7), block_steps(11)
    (16, 32)
    """
    return 1 << (2 * taps - 1).bit_length()


def matrices(
    taps: int,
) -> tuple[Float64[Tensor, "m n"], Float64[Tensor, "m taps"], Float64[Tensor, "made m"]]:
    """(A, G, C) with C ((A x) (G w)) = x correlated with w, where the kernel fits into the block.

    A discrete Fourier transform of n steps, with three real products for a complex one (Gauss):
    (p + iq)(u + iv) = k1 - k3 + i (k1 + k2), k1 = u (p + q), k2 = p (v - u), k3 = q (u + v).
    So there are m = 2 + 3 (n / 2 - 1) of them, and n - taps + 1 steps come out.
    """
    n = block_steps(taps)
    turns = torch.arange(n // 2 + 1)[:, None] * torch.arange(n) % n
    cos, sin = (2 * math.pi / n * turns.double()).cos(), (2 * math.pi / n * turns.double()).sin()
    ends, c, s = cos[[0, -1]], cos[1:-1], sin[1:-1]
    of_x = torch.cat((ends, c - s, c, -s))
    of_w = torch.cat((ends, c, s - c, c + s))[:, :taps]
    back = torch.cat((ends, 2 * (c - s), -2 * s, -2 * c))[:, : n - taps + 1] / n
    return of_x, of_w, back.T


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A kernel as `by_transforms` takes it: G w for every pair of channels, between A and C."""

    of_x: Float[Tensor, "m n"]
    kernels: Float[Tensor, "m c d"]
    back: Float[Tensor, "made m"]

    @classmethod
    def of(cls, weight: Float[Tensor, "d c taps"]) -> Transformed:
        of_x, of_w, back = matrices(weight.shape[2])
        kernels = torch.einsum("mk,dck->mcd", of_w, weight.double())
        return cls(*(matrix.float().contiguous() for matrix in (of_x, kernels, back)))


def by_transforms(
    x: Float[Tensor, "b c t"],
    kernel: Transformed,
    bias: Float[Tensor, "d"] | None,
    dilation: int,
) -> Float[Tensor, "b d t"]:
    """What `convolved` gives with zeros beyond the ends so that the length is kept.

    Of a dilated kernel each block takes every `dilation`-th step, side by side with those between.
    """
    rows, (b, c, t) = x.mT.contiguous(), x.shape
    (m, n), steps, made = kernel.of_x.shape, len(kernel.back), kernel.kernels.shape[2]
    span, margin = dilation * steps, dilation * (n - steps) // 2
    blocks, at_once = -(-t // span), max(1, PIECE * torch.get_num_threads() // (span * b))
    out = rows.new_empty(b, blocks * span, made)
    for first in range(0, blocks, at_once):
        count = min(at_once, blocks - first)
        begin, end = first * span - margin, (first + count) * span + margin
        seen = F.pad(rows[:, max(0, begin) : end], (0, 0, max(0, -begin), max(0, end - t)))
        taken = seen.view(b, -1, dilation * c).unfold(1, n, steps).permute(3, 0, 1, 2)
        ahead = (kernel.of_x @ taken.reshape(n, -1)).view(m, -1, c)
        products = torch.bmm(ahead, kernel.kernels).view(m, -1)
        given = (kernel.back @ products).view(steps, b, count, dilation, made)
        place = out[:, first * span : (first + count) * span].view(b, count, steps, dilation, made)
        torch.add(given.permute(1, 2, 0, 3, 4), 0 if bias is None else bias, out=place)
    return out[:, :t].mT
