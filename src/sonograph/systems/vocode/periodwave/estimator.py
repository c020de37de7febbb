"""The vector field of PeriodWave: which way a noisy waveform has to go, read by several periods.

Shapes: waveform (b, c, n); for a period p it is folded into p columns of n / p samples. One U-Net,
the same for all periods, reads columns: (k, c, 1, rows), channels last in memory. Conditions have a
row for every `VectorField.fold` samples of a column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.convnext import ConvNeXtBlock
from sonograph.nn.weight_norm import weight_norm

TOGETHER_BELOW = 3 << 19  # width x clips x samples: below, all periods in one row are faster
DROP_PATH = 0.1  # of the condition encoder's blocks, in training


def reflected(x: Tensor, count: int) -> Tensor:
    """x with `count` more values at its end, mirrored as often as it takes."""
    while count > 0 and x.shape[-1] > 1:
        part = min(count, x.shape[-1] - 1)
        x, count = F.pad(x, (0, part), mode="reflect"), count - part
    return F.pad(x, (0, count), mode="replicate") if count else x


# --- condition -----------------------------------------------------------------------------------


class Condition(nn.Module):
    """Features -> one condition a period, at the rate of the U-Net's middle.

    features (b, rows, frames) -> for each period p (b, width, 1, m), m at least frames * upsample
    / p. Its blocks look at all frames (`GlobalResponseNorm`).
    """

    def __init__(
        self,
        rows: int,
        width: int,
        periods: Sequence[int],
        upsample: int,
        blocks: tuple[int, int] = (8, 4),
    ):
        super().__init__()
        self.periods, half = tuple(periods), width // 2
        self.embed = nn.Conv1d(rows, width, 7, padding=3)
        self.lower = nn.Sequential(
            *(ConvNeXtBlock(width, 3 * width, drop_path=DROP_PATH) for _ in range(blocks[0]))
        )
        kernel = 2 * upsample + upsample % 2
        self.up = weight_norm(
            nn.ConvTranspose1d(width, half, kernel, upsample, padding=(kernel - upsample) // 2)
        )
        self.upper = nn.Sequential(
            *(ConvNeXtBlock(half, 4 * half, drop_path=DROP_PATH) for _ in range(blocks[1]))
        )
        self.folds = nn.ModuleList(
            weight_norm(nn.Conv2d(half, width, (1, 2 * p), (1, p), padding=(0, p - 1)))
            for p in self.periods
        )

    def forward(self, features: Float[Tensor, "b rows frames"]) -> list[Tensor]:
        x = self.embed(features)
        x = F.silu(x + self.lower(x))
        x = F.silu(self.upper(self.up(x)))
        # the official padding looks at an axis of length 1, so that it is p - 1 whatever the length
        return [
            fold(reflected(x, max(1, p - 1))[:, :, None])
            for p, fold in zip(self.periods, self.folds)
        ]


def time_sinusoid(t: Float[Tensor, "b"], width: int) -> Float[Tensor, "b width"]:
    """sin, then cos, of 1000 t at frequencies from 1 down to 1 / 10000."""
    half = width // 2
    steps = torch.arange(half, device=t.device, dtype=t.dtype)
    # in this order: at 1000 radians the last bit of a frequency shows in the samples
    angle = 1000 * t[:, None] * torch.exp(steps * (-math.log(10000) / (half - 1)))
    return torch.cat([angle.sin(), angle.cos()], dim=1)


# --- U-Net ---------------------------------------------------------------------------------------


def convolution(
    inside: int, outside: int, kernel: int, stride: int = 1, dilation: int = 1, bias: bool = False
) -> nn.Module:
    """A weight-normalised convolution along the rows; at stride 1 the length stays."""
    padding = (kernel - 1) // 2 * dilation
    conv = nn.Conv2d(
        inside, outside, (1, kernel), (1, stride), (0, padding), (1, dilation), bias=bias
    )
    return weight_norm(conv)


class Rows:
    """How the columns of one call of the U-Net lie: each a clip of its own.

    `kept` is called after whatever may write beyond a column's end, `spread` turns what belongs
    to a column, (k, c), into what is added to its rows.
    """

    def kept(self, x: Tensor) -> Tensor:
        return x

    def spread(self, values: Float[Tensor, "k c"], rows: int) -> Float[Tensor, "k c 1 1"]:
        return values[:, :, None, None]


APART = Rows()


class GappedRows(Rows):
    """The columns of all periods one after another in one row, gaps of zeros between them.

    The same values from one call instead of one for each period. lengths: of each period's part,
    gaps included; mask (total,): 1 in columns. Strides divide both.
    """

    def __init__(self, lengths: Sequence[int], mask: Tensor):
        self.lengths, self.mask, self.total = lengths, mask, sum(lengths)

    def kept(self, x: Tensor) -> Tensor:
        return x.mul_(self.mask[:: self.total // x.shape[-1]])

    def spread(self, values: Float[Tensor, "b*p c"], rows: int) -> Float[Tensor, "b c 1 rows"]:
        times = torch.tensor(self.lengths, device=values.device) // (self.total // rows)
        by_clip = values.unflatten(0, (-1, len(self.lengths)))
        spread = by_clip.repeat_interleave(times, dim=1, output_size=rows)
        return spread.transpose(1, 2)[:, :, None]


class Residual(nn.Module):
    """x + conv(silu(conv(silu(x)))), three taps each, the first one dilated."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.first = convolution(channels, channels, 3, dilation=dilation, bias=True)
        self.second = convolution(channels, channels, 3, bias=True)

    def forward(self, x: Tensor, rows: Rows = APART) -> Tensor:
        y = rows.kept(self.first(F.silu(x)))
        return x + rows.kept(self.second(F.silu(y)))


class Residuals(nn.ModuleList):
    """Residual blocks one after another."""

    def __init__(self, channels: int, dilations: Sequence[int]):
        super().__init__(Residual(channels, d) for d in dilations)

    def forward(self, x: Tensor, rows: Rows = APART) -> Tensor:
        for block in self:
            x = block(x, rows)
        return x


class Embedded(nn.Linear):
    """What time and period add to a column's rows: Linear(silu(embedding)), (k, w) -> (k, c)."""

    def forward(self, embedding: Float[Tensor, "k w"]) -> Float[Tensor, "k c"]:
        return super().forward(F.silu(embedding))


class Down(nn.Module):
    """A strided convolution, the embedding, two residual blocks; stride 1 is the first, linear."""

    def __init__(self, inside: int, outside: int, stride: int, width: int):
        super().__init__()
        kernel = 1 if stride == 1 else 2 * stride + 1
        self.convolve, self.stride = convolution(inside, outside, kernel, stride), stride
        self.embed = Embedded(width, outside)
        self.residual = Residuals(outside, (1, 2))

    def forward(self, x: Tensor, embedding: Tensor, rows: Rows) -> Tensor:
        x = self.convolve(x if self.stride == 1 else F.silu(x))
        x = rows.kept(x + rows.spread(self.embed(embedding), x.shape[-1]))
        if self.stride == 1:  # from here on channels lie together: 1.6 times as fast when narrow
            x = x.contiguous(memory_format=torch.channels_last)
        return self.residual(x, rows)


class Middle(nn.Module):
    """A strided convolution, the condition (cropped to the rows), residual blocks."""

    def __init__(self, inside: int, width: int, stride: int, dilations: Sequence[int]):
        super().__init__()
        self.convolve = convolution(inside, width, 2 * stride + 1, stride)
        self.residual = Residuals(width, dilations)

    def forward(self, x: Tensor, condition: Tensor, rows: Rows) -> Tensor:
        x = self.convolve(F.silu(x))
        return self.residual(rows.kept(x + condition[..., : x.shape[-1]]), rows)


class Up(nn.Module):
    """A strided transposed convolution, the skip and the embedding added, two residual blocks.

    forward: `freeu` scales what comes from below and what comes from the side. Si et al. 2024
    scale the same two; 1, 1 changes nothing.
    """

    def __init__(self, inside: int, outside: int, stride: int, width: int):
        super().__init__()
        self.spread = weight_norm(
            nn.ConvTranspose2d(
                inside, outside, (1, 2 * stride), (1, stride), (0, stride // 2), bias=False
            )
        )
        self.embed = Embedded(width, outside)
        self.residual = Residuals(outside, (1, 2))

    def forward(
        self, x: Tensor, skip: Tensor, embedding: Tensor, freeu: tuple[float, float], rows: Rows
    ) -> Tensor:
        x = self.spread(F.silu(x))
        if freeu != (1.0, 1.0):
            x, skip = freeu[0] * x, freeu[1] * skip
        embedded = rows.spread(self.embed(embedding), x.shape[-1])
        return self.residual(rows.kept(x + skip + embedded), rows)


class PeriodUNet(nn.Module):
    """The U-Net over columns: `strides` downwards, the last one into the middle.

    columns (k, c, 1, rows), condition (k, width, 1, m), embedding (k, width) -> (k, narrow, 1,
    rows), narrow = width / 2^(strides + 1); rows is a multiple of the strides' product. In
    `GappedRows` k is the clips but for the embedding, which has all periods of one clip, then of
    the next.
    """

    def __init__(self, channels: int, width: int, strides: Sequence[int], dilations: Sequence[int]):
        super().__init__()
        sizes = [width // 2 ** (k + 1) for k in range(len(strides), 0, -1)]  # 1/16, 1/8, 1/4
        inside, steps = [channels, *sizes[:-1]], [1, *strides[:-1]]
        self.downs = nn.ModuleList(
            Down(i, o, stride, width) for i, o, stride in zip(inside, sizes, steps)
        )
        self.middle = Middle(sizes[-1], width, strides[-1], dilations)
        above = [width, *sizes[:0:-1]]
        self.ups = nn.ModuleList(
            Up(i, o, stride, width) for i, o, stride in zip(above, sizes[::-1], strides[::-1])
        )

    def forward(
        self,
        columns: Float[Tensor, "k c 1 n"],
        condition: Float[Tensor, "k width 1 m"],
        embedding: Float[Tensor, "j width"],
        freeu: tuple[float, float] = (1.0, 1.0),
        rows: Rows = APART,
    ) -> Float[Tensor, "k narrow 1 n"]:
        x, skips = columns, []
        for down in self.downs:
            x = down(x, embedding, rows)
            skips.append(x)
        x = self.middle(x, condition, rows)
        for up in self.ups:
            x = up(x, skips.pop(), embedding, freeu, rows)
        return x


# --- folding -------------------------------------------------------------------------------------


def folded(x: Float[Tensor, "b c n"], period: int, multiple: int) -> Float[Tensor, "b p c 1 rows"]:
    """Columns of a waveform: every p-th sample, rows padded (mirrored) to a multiple.

    >>> folded(torch.arange(6.0)[None, None], 2, 1)[0, :, 0, 0]
    tensor([[0., 2., 4.],
            [1., 3., 5.]])
    """
    x = reflected(x, -x.shape[-1] % (period * multiple))
    return x.unflatten(-1, (-1, period)).movedim(-1, 1)[:, :, :, None]


def unfolded(columns: Float[Tensor, "b p c 1 rows"], samples: int) -> Float[Tensor, "b samples c"]:
    """The waveform of its columns, channels last."""
    return columns.squeeze(3).permute(0, 3, 1, 2).flatten(1, 2)[:, :samples]


class Final(nn.Module):
    """From the sum over periods to one channel: residual blocks over time, a convolution of 7."""

    def __init__(self, channels: int, dilations: Sequence[int]):
        super().__init__()
        self.residual = Residuals(channels, dilations)
        self.project = convolution(channels, 1, 7)

    def forward(self, x: Float[Tensor, "b c 1 n"]) -> Float[Tensor, "b n"]:
        return self.project(F.silu(self.residual(x)))[:, 0, 0]


class VectorField(nn.Module):
    """The velocity of a waveform at time t, given the conditions of all periods.

    channels: of the input; the first is the noisy waveform, others stand beside it.
    narrow width: width / 2^(strides + 1), which the last skip needs.

    Long clips go through the U-Net period after period, the columns of one as a batch; short ones
    with all periods in one row (`GappedRows`): a fifth of the calls, but a mask after each
    convolution and larger tensors than the cache holds. Measured in benchmarks/periodwave.py.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        periods: Sequence[int],
        upsample: int,
        strides: Sequence[int] = (4, 4, 4),
        channels: int = 1,
        embed_width: int = 0,
        middle_dilations: Sequence[int] = (1, 2, 4),
        final_dilations: Sequence[int] = (1, 2, 4),
    ):
        super().__init__()
        self.periods, self.fold, self.width = tuple(periods), math.prod(strides), width
        self.strides = tuple(strides)
        self.middle_dilations, self.final_dilations = middle_dilations, final_dilations
        self.condition = Condition(rows, width, periods, upsample)
        self.embed_width = embed_width or width // 2
        self.period = nn.Embedding(len(self.periods), self.embed_width)
        nn.init.normal_(self.period.weight, std=self.embed_width**-0.5)
        self.embed = nn.Sequential(
            nn.Linear(2 * self.embed_width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )
        self.unet = PeriodUNet(channels, width, strides, middle_dilations)
        self.final = Final(width // 2 ** (len(strides) + 1), final_dilations)

    def embeddings(self, t: Float[Tensor, "b"]) -> Float[Tensor, "b p width"]:
        """Time and period, for each clip and each period."""
        time = time_sinusoid(t, self.embed_width)[:, None].expand(-1, len(self.periods), -1)
        period = (self.period.weight * math.sqrt(self.width))[None].expand(len(t), -1, -1)
        return self.embed(torch.cat([time, period], dim=2))

    def forward(
        self,
        x: Float[Tensor, "b c n"],
        conditions: Sequence[Tensor],
        t: Float[Tensor, "b"],
        freeu: tuple[float, float] = (1.0, 1.0),
    ) -> Float[Tensor, "b n"]:
        work = self.width * len(x) * x.shape[-1]
        summed = self.together if work < TOGETHER_BELOW else self.in_turn
        mean = summed(x, conditions, self.embeddings(t), freeu) / math.sqrt(len(self.periods))
        return self.final(mean.transpose(1, 2)[:, :, None])

    def in_turn(
        self,
        x: Float[Tensor, "b c n"],
        conditions: Sequence[Tensor],
        embeddings: Float[Tensor, "b p width"],
        freeu: tuple[float, float],
    ) -> Float[Tensor, "b n narrow"]:
        """The sum over periods, one after another, the columns of one as a batch."""
        found = []
        for k, period in enumerate(self.periods):
            columns = self.unet(
                folded(x, period, self.fold).flatten(0, 1),
                conditions[k].repeat_interleave(period, dim=0),
                embeddings[:, k].repeat_interleave(period, dim=0),
                freeu,
            )
            found.append(unfolded(columns.unflatten(0, (-1, period)), x.shape[-1]))
        return torch.stack(found).sum(0)

    def together(
        self,
        x: Float[Tensor, "b c n"],
        conditions: Sequence[Tensor],
        embeddings: Float[Tensor, "b p width"],
        freeu: tuple[float, float],
    ) -> Float[Tensor, "b n narrow"]:
        """The sum over periods, all columns in one row with gaps that no kernel reaches across."""
        gap = max(self.middle_dilations)  # rows of the middle; higher up it is wider still
        parts, middles, mask, lengths = [], [], [], []
        for period, condition in zip(self.periods, conditions):
            columns = F.pad(folded(x, period, self.fold), (0, gap * self.fold))
            rows = columns.shape[-1]
            parts.append(columns.movedim(1, 3).flatten(3))  # (b, c, 1, p * rows)
            middle = condition[..., : rows // self.fold - gap].expand(-1, -1, period, -1)
            middles.append(F.pad(middle, (0, gap)).flatten(2)[:, :, None])
            one = torch.ones(rows, device=x.device, dtype=x.dtype)
            one[-gap * self.fold :] = 0
            mask.append(one.repeat(period))
            lengths.append(period * rows)
        joined = self.unet(
            torch.cat(parts, dim=3),
            torch.cat(middles, dim=3),
            embeddings.flatten(0, 1),
            freeu,
            GappedRows(lengths, torch.cat(mask)),
        )
        found = []
        for period, part in zip(self.periods, joined.split(lengths, dim=3)):
            columns = part.unflatten(3, (period, -1)).movedim(3, 1)[..., : -gap * self.fold]
            found.append(unfolded(columns, x.shape[-1]))
        return torch.stack(found).sum(0)

    # -- long clips -------------------------------------------------------------------------------

    @property
    def unit(self) -> int:
        """Samples after which the folds of all periods begin anew."""
        return self.fold * math.lcm(*self.periods)

    @property
    def reach(self) -> int:
        """How many samples to each side a velocity depends on, conditions apart."""
        pair, rate, rows = 1 + 1 + 2 + 1, 1, 0  # two residual blocks; rows at the finest rate
        for stride in self.strides:
            # down and up: the blocks of both, the strided convolution, the spreading one
            rows += 2 * pair * rate + stride * rate + stride * rate
            rate *= stride
        rows += rate * sum(d + 1 for d in self.middle_dilations)
        return rows * max(self.periods) + sum(d + 1 for d in self.final_dilations) + 3

    def by_parts(
        self,
        x: Float[Tensor, "b c n"],
        conditions: Sequence[Tensor],
        t: Float[Tensor, "b"],
        freeu: tuple[float, float],
        part_samples: int,
    ) -> Float[Tensor, "b n"]:
        """`forward` in bounded memory: parts with their surroundings, each of at least
        `part_samples`, joined. The same values.
        """
        n, context = x.shape[-1], math.ceil(self.reach / self.unit) * self.unit
        part = math.ceil(part_samples / self.unit) * self.unit
        velocities = []
        for start in range(0, n, part):
            end = n if start + part + context >= n else start + part
            first, last = max(0, start - context), min(n, end + context)
            inside = [c[..., first // (self.fold * p) :] for p, c in zip(self.periods, conditions)]
            velocity = self(x[..., first:last], inside, t, freeu)
            velocities.append(velocity[:, start - first : end - first])
            if end == n:
                break
        return torch.cat(velocities, dim=1)
