"""PeriodWave's ways to ask one U-Net about several periods, and how fast it makes sound.

First the velocity with all periods in one row beside one period after another: the same numbers,
and which of them `VectorField` takes. Then columns as we lay them beside the published layout
(pictures of rows and columns, kernels (k, 1)). Then whole sounds of full size, for which random
weights are as good as trained ones, weight norm folded.

    python -m benchmarks.periodwave
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Row, alternately, figure, pair, show, speed
from sonograph.nn.weight_norm import fold
from sonograph.registry import build
from sonograph.systems.vocode.periodwave import VectorField
from sonograph.systems.vocode.periodwave.estimator import TOGETHER_BELOW, reflected

SYSTEM = "periodwave"
PLAIN = (1.0, 1.0)


def inputs(field: VectorField, samples: int) -> tuple[Tensor, list[Tensor], Tensor]:
    """Noise, conditions and embeddings of one clip."""
    torch.manual_seed(0)
    rows = [samples // (field.fold * p) + 1 for p in field.periods]
    conditions = [torch.randn(1, field.width, 1, m) for m in rows]
    return torch.randn(1, 1, samples), conditions, field.embeddings(torch.tensor([0.5]))


def published(
    field: VectorField, x: Tensor, conditions: Sequence[Tensor], embeddings: Tensor
) -> Tensor:
    """The sum over periods, (b, n, c), in the layout of the official code: (b, c, rows, p)."""
    samples, total = x.shape[-1], torch.zeros(())
    for k, period in enumerate(field.periods):
        folded = reflected(x, -samples % (period * field.fold)).unflatten(-1, (-1, period))
        y = _unet(field.unet, folded, conditions[k].mT, embeddings[:, k])
        total = total + y.flatten(2)[..., :samples]
    return total.transpose(1, 2)


def _unet(unet: Any, x: Tensor, condition: Tensor, embedding: Tensor) -> Tensor:
    def convolve(layer: Any, x: Tensor) -> Tensor:
        weight = layer.weight.transpose(2, 3)
        step, pad, apart = (axes[::-1] for axes in (layer.stride, layer.padding, layer.dilation))
        if isinstance(layer, torch.nn.ConvTranspose2d):
            return F.conv_transpose2d(x, weight, layer.bias, step, pad)
        return F.conv2d(x, weight, layer.bias, step, pad, apart)

    def residual(part: Any, x: Tensor) -> Tensor:
        for block in part.residual:
            x = x + convolve(block.second, F.silu(convolve(block.first, F.silu(x))))
        return x

    skips = []
    for down in unet.downs:
        x = convolve(down.convolve, x if down.stride == 1 else F.silu(x))
        x = residual(down, x + down.embed(embedding)[:, :, None, None])
        skips.append(x)
    x = convolve(unet.middle.convolve, F.silu(x))
    x = residual(unet.middle, x + condition[:, :, : x.shape[2]])
    for up in unet.ups:
        x = convolve(up.spread, F.silu(x)) + skips.pop()
        x = residual(up, x + up.embed(embedding)[:, :, None, None])
    return x


@torch.inference_mode()
def main(repeats: int = 5) -> list[Row]:
    """Rows of the U-Net's ways at several lengths, of whole sounds of one second."""
    rows: list[Row] = []
    for preset, lengths in (
        ("periodwave-mini", (2048, 8192, 32_768)),
        ("periodwave-24k", (2048, 24_576)),
    ):
        vocoder: Any = fold(build(preset).eval())
        field, rate = vocoder.fields[0], vocoder.spec.rate_hz
        for samples in lengths:
            given = inputs(field, samples)
            together = functools.partial(field.together, *given, PLAIN)
            in_turn = functools.partial(field.in_turn, *given, PLAIN)
            theirs = functools.partial(published, field, *given)
            for other in (together, theirs):
                torch.testing.assert_close(other(), in_turn(), rtol=1e-3, atol=1e-3)
            said = f"{preset}, {samples / rate:.2f} s"
            times = alternately(together, in_turn, repeats)
            rows.append(pair(f"{said}, periods together", *times, "one after another"))
            chosen = together if field.width * samples < TOGETHER_BELOW else in_turn
            times = alternately(chosen, theirs, repeats)
            rows.append(pair(f"{said}, as chosen", *times, "the published layout"))
    for preset in ("periodwave-mini", "periodwave-turbo-24k"):
        vocoder = fold(build(preset).eval())
        frames = math.ceil(vocoder.spec.frame_rate_hz)
        features = torch.randn(1, vocoder.spec.rows, frames) - 4
        act = functools.partial(vocoder, features)
        asked = vocoder.config.sampling.evaluations
        rows.append(speed(f"{preset}, {asked} evaluations", 1.0, act, max(1, repeats // 2)))
    count = sum(p.numel() for p in build("periodwave-24k", device="meta").parameters())
    rows.append(figure("periodwave-24k", count / 1e6, "million numbers"))
    return rows


if __name__ == "__main__":
    show(main())
