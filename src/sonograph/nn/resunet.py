"""A U-Net of residual blocks over time and frequency, conditioned by shifts (ResUNet30).

Maps are (b, channels, t, f). Every batch norm is followed by a shift from the condition
(`nn/film.py`) and a leaky ReLU. Kong et al. 2021 (Decoupling magnitude and phase estimation),
figure 2; Kong et al. 2023 (USS), section III.C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu_, pad

MOMENTUM = 0.01  # of the running statistics, for long trainings
SLOPE = 0.01  # of leaky ReLUs
Shift = Float[Tensor, "b c 1 1"]


def activated(normed: Float[Tensor, "b c t f"], shift: Shift) -> Float[Tensor, "b c t f"]:
    """Shift and leaky ReLU, in place: what a batch norm gave out is nobody else's."""
    return leaky_relu_(normed.add_(shift), SLOPE)


class ResidualBlock(nn.Module):
    """Twice norm, shift, leaky ReLU and a 3x3 convolution, added to what came in.

    (b, channels_in, t, f) and two shifts -> (b, channels, t, f).
    """

    def __init__(self, channels_in: int, channels: int, momentum: float = MOMENTUM):
        super().__init__()
        self.shift_widths = (channels_in, channels)
        self.norm1 = nn.BatchNorm2d(channels_in, momentum=momentum)
        self.norm2 = nn.BatchNorm2d(channels, momentum=momentum)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else None

    def forward(
        self, x: Float[Tensor, "b c_in t f"], shifts: Iterator[Shift]
    ) -> Float[Tensor, "b c t f"]:
        made = self.conv1(activated(self.norm1(x), next(shifts)))
        made = self.conv2(activated(self.norm2(made), next(shifts)))
        return made + (x if self.shortcut is None else self.shortcut(x))


class DecoderBlock(nn.Module):
    """Widen time and frequency by `up`, join what the encoder kept, and a residual block.

    (b, channels_in, t, f), (b, channels, t up, f up) -> (b, channels, t up, f up).
    `idle_norm` and its shift do nothing; published files carry them.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        up: tuple[int, int],
        momentum: float = MOMENTUM,
    ):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels_in, momentum=momentum)
        self.idle_norm = nn.BatchNorm2d(channels_in, momentum=momentum).requires_grad_(False)
        self.up = nn.ConvTranspose2d(channels_in, channels, up, up, bias=False)
        self.block = ResidualBlock(2 * channels, channels, momentum)
        self.shift_widths = (channels_in, channels_in, *self.block.shift_widths)

    def forward(
        self,
        x: Float[Tensor, "b c_in t f"],
        kept: Float[Tensor, "b c t_up f_up"],
        shifts: Iterator[Shift],
    ) -> Float[Tensor, "b c t_up f_up"]:
        x = self.up(activated(self.norm(x), next(shifts)))
        next(shifts)  # the idle one
        return self.block(torch.cat([x, kept], dim=1), shifts)


class ResUNet(nn.Module):
    """The whole U-Net: as many encoder and decoder blocks as `channels`, a block in the middle.

    All encoder blocks halve time and frequency, the last one frequency alone. The frames are
    filled up with zeros to what the halving asks for and cut again; bins must be a multiple of
    2 ** len(channels). `shift_widths`: the width of every shift, in the order of `shifts`.

    >>> net = ResUNet(1, 3, (4, 6))
    >>> shifts = [torch.zeros(2, width, 1, 1) for width in net.shift_widths]
    >>> net(torch.zeros(2, 1, 5, 8), shifts).shape
    torch.Size([2, 3, 5, 8])
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        channels: Sequence[int],
        momentum: float = MOMENTUM,
    ):
        super().__init__()
        deep = len(channels)
        self.pools = [(2, 2)] * (deep - 1) + [(1, 2)]
        self.bins_divide = 2**deep
        self.frames_divide = 2 ** (deep - 1)
        before = (channels[0], *channels)
        self.pre = nn.Conv2d(channels_in, channels[0], 1)
        self.encoders = nn.ModuleList(
            ResidualBlock(come, go, momentum) for come, go in zip(before, channels)
        )
        self.middle = ResidualBlock(channels[-1], channels[-1], momentum)
        backwards = tuple(reversed(channels))
        self.decoders = nn.ModuleList(
            DecoderBlock(come, go, up, momentum)
            for come, go, up in zip((channels[-1], *backwards), backwards, reversed(self.pools))
        )
        self.after = nn.Conv2d(channels[0], channels_out, 1)
        self._initialise()
        parts = [*self.encoders, self.middle, *self.decoders]
        self.shift_widths: tuple[int, ...] = tuple(w for part in parts for w in part.shift_widths)

    def _initialise(self) -> None:
        """Xavier uniform for convolutions, zero biases (official code)."""
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(
        self, x: Float[Tensor, "b c_in t f"], shifts: Sequence[Shift]
    ) -> Float[Tensor, "b c_out t f"]:
        frames, each = x.shape[2], iter(shifts)
        x, kept = self.pre(pad(x, (0, 0, 0, -frames % self.frames_divide))), []
        for encoder, pool in zip(self.encoders, self.pools):
            kept.append(encoder(x, each))
            x = avg_pool2d(kept[-1], pool)
        x = self.middle(x, each)
        for decoder in self.decoders:
            x = decoder(x, kept.pop(), each)
        return self.after(x)[:, :, :frames]
