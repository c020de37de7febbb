"""DiffNet: the denoiser of diffusion models of mels, a WaveNet that is told how noisy its input is.

Kong et al. 2021 (DiffWave), as Liu et al. 2022 (DiffSinger) took it to mels; ProDiff's too.

    h = relu(conv_1(x));  e = linear(mish(linear(sines of the step)))
    a, b = split(conv_3(h + project_i(e)) + condition_i);  g = sigmoid(a) tanh(b)
    residual, skip = split(conv_1(g));  h = (h + residual) / sqrt 2
    out = conv_1(relu(conv_1(sum of skips / sqrt(blocks))))        (zero weights at first)

Shapes: x (b, rows, t), steps (b,) whole numbers, condition (b, width, t), mask (b, 1, t) of 0s and
1s.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


def sines(places: Tensor, width: int) -> Float[Tensor, "*places width"]:
    """Sines of places, then their cosines, wave lengths from 2 pi to 2 pi 10,000 both included.

    As in tensor2tensor; Vaswani et al. have them in turns and leave the last one out.

    >>> sines(torch.tensor([0.0]), 4).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    half = width // 2
    rate = torch.arange(half, device=places.device, dtype=torch.float32)
    rate = torch.exp(rate * -(math.log(10000) / (half - 1)))
    angle = places[..., None].to(torch.float32) * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Block(nn.Module):
    """One gated layer. answers (what goes on, what is skipped to the end)."""

    def __init__(self, channels: int, condition: int, dilation: int):
        super().__init__()
        self.gate = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.step = nn.Linear(channels, channels)
        self.condition = nn.Conv1d(condition, 2 * channels, 1)
        self.out = nn.Conv1d(channels, 2 * channels, 1)

    def forward(
        self, x: Tensor, step: Tensor, condition: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        heard = x + self.step(step)[:, :, None]
        if mask is not None:
            heard = heard * mask
        a, b = (self.gate(heard) + self.condition(condition)).chunk(2, dim=1)
        residual, skip = self.out(torch.sigmoid(a) * torch.tanh(b)).chunk(2, dim=1)
        return (x + residual) / math.sqrt(2.0), skip


class DiffNet(nn.Module):
    """Without a mask, frames past a text's end are seen as any others.

    dilation_cycle: dilations go 1, 2, 4, .. and begin anew after so many blocks.

    >>> network = DiffNet(rows=5, channels=8, condition=6, blocks=2)
    >>> network(torch.zeros(1, 5, 7), torch.tensor([3]), torch.zeros(1, 6, 7)).shape
    torch.Size([1, 5, 7])
    """

    def __init__(
        self, rows: int, channels: int, condition: int, blocks: int, dilation_cycle: int = 1
    ):
        super().__init__()
        self.channels = channels
        self.start = nn.Conv1d(rows, channels, 1)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.blocks = nn.ModuleList(
            Block(channels, condition, 2 ** (k % dilation_cycle)) for k in range(blocks)
        )
        self.skip = nn.Conv1d(channels, channels, 1)
        self.end = nn.Conv1d(channels, rows, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d):
                nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(self.end.weight)

    def forward(
        self,
        x: Float[Tensor, "b rows t"],
        steps: Int64[Tensor, "b"],
        condition: Float[Tensor, "b width t"],
        mask: Float[Tensor, "b 1 t"] | None = None,
    ) -> Float[Tensor, "b rows t"]:
        step = self.narrow(nn.functional.mish(self.widen(sines(steps, self.channels).to(x.dtype))))
        h, skips = self.start(x).relu(), torch.zeros((), dtype=x.dtype, device=x.device)
        for block in self.blocks:
            h, skip = block(h, step, condition, mask)
            skips = skips + skip
        return self.end(self.skip(skips / math.sqrt(len(self.blocks))).relu())
