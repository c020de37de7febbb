"""PANNs: convolutional networks that tag sound with 527 classes, and start other taggers.

For whoever wants to know what a recording holds, or has a small labelled set and wants to start
from a network that has heard much. Kong, Cao, Iqbal, Wang, Wang and Plumbley, "PANNs: Large-Scale
Pretrained Audio Neural Networks for Audio Pattern Recognition", IEEE/ACM TASLP 2020.
A trunk of convolutions over log-mel frames, the waveform, or both (a Wavegram is a spectrogram that
is learned); mean over frequency, mean + maximum over time, one hidden layer (the embedding), a
sigmoid for each label. Decision-level models answer for every step first, and then for the clip.

Published (AudioSet, mAP): CNN6 0.343, CNN10 0.380, CNN14 0.431, ResNet38 0.434, MobileNetV1 0.389,
Wavegram-Logmel-CNN14 0.439. Fine-tuned on ESC-50 94.7 %, from scratch 83.3 %.

Shapes: features (b, bins, frames) or (b, 1, samples) -> maps (b, c, t, f) or (b, c, t) -> tokens
(b, columns, d), grid (1, columns), special (b, 1, e), the embedding -> logits (b, labels).

Ours, where the paper is silent: what lies beyond a clip is zero before every convolution and left
out of means, maxima and batch statistics, so that padding changes nothing; shorter clips are filled
up to one column; where the two branches of Wavegram-Logmel differ by a step, both are cut to the
shorter; `events` of a model that was trained on whole clips puts its head on three columns at a
time, as the decision-level models do.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, dropout, max_pool1d, relu, relu6

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec, Frontend, log_mel_spec, waveform_spec
from sonograph.errors import InputError
from sonograph.nn.conv_blocks import (
    AttentionTagging,
    ConvBlock,
    Count,
    Lengths,
    initialise,
    mean_and_max,
    normalised,
    smoothed,
    within,
)
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.heads import Answer, Tagging
from sonograph.registry import About, register
from sonograph.systems.tag.audioset import LABELS
from sonograph.weights import rename

Family = Literal["cnn", "resnet", "mobilenetv1", "mobilenetv2", "leenet", "dainet", "res1dnet"]
WAVES = ("leenet", "dainet", "res1dnet")  # families that hear the waveform
EVENT_RATE_HZ = 100  # of `events` in models that hear the waveform


def logmel(rate_hz: int = 32000, bins: int = 64) -> FeatureSpec:
    """The published log-mel: windows of 32 ms every 10, 50 Hz to 14 kHz or half the rate."""
    window = 1024 * rate_hz // 32000
    return log_mel_spec(rate_hz, window, rate_hz // 100, bins, 50, min(14000, rate_hz / 2))


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes are those of CNN14. `channels` and `pools` have an entry for each block."""

    family: Family = "cnn"
    front: Literal["logmel", "wavegram", "both"] = "logmel"  # of family cnn
    channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    pools: tuple[int, ...] = (2, 2, 2, 2, 2, 1)  # how far each block shortens time
    kernel: int = 3  # cnn: 3, two convolutions a block; 5, one
    layers: tuple[int, ...] = ()  # resnets: units of each stage; leenet: convolutions of each block
    unit: Literal["basic", "bottleneck"] = "basic"  # of resnets
    wave_channels: tuple[int, ...] = (64, 64, 128, 128)  # of the Wavegram: first, three blocks
    wave_bins: int = 32  # of the Wavegram; the log-mel beside it has twice as many
    embedding: int = 2048
    decision: Literal["clip", "max", "mean", "attention"] = "clip"  # where steps become one answer
    labels: tuple[str, ...] = LABELS
    frames: int = 1001  # of one window of inference; the network takes any length
    features: FeatureSpec = logmel()

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.pools):
            raise InputError(f"{len(self.channels)} channels and {len(self.pools)} pools: give one "
                             "of each for every block")  # fmt: skip
        if (self.features.kind == "waveform") != (self.family in WAVES or self.front != "logmel"):
            raise InputError(f"{self.family} with front {self.front!r} does not take features of "
                             f"kind {self.features.kind!r}")  # fmt: skip
        if not self.labels:
            raise InputError("a tagger needs labels: give at least one")


# --- blocks --------------------------------------------------------------------------------------


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
                lengths = _ceil(lengths, self.stride)
            x = relu(normalised(getattr(self, f"bn{n}"), x, lengths))
        if self.pool == 1:
            return x
        around = self.pool // 2 if self.edges == "outer" else 0
        return max_pool1d(within(x, lengths), self.pool, padding=around)

    def after(self, length: Count) -> Count:
        length = _ceil(length, self.stride)
        return _ceil(length, self.pool) if self.edges == "outer" else length // self.pool


def _ceil(length: Count, by: int) -> Count:
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
        lengths = None if lengths is None else _ceil(lengths, 5)
        x = relu(normalised(self.norm, x, lengths))
        for block in self.blocks:
            x = block(x, lengths)
            lengths = None if lengths is None else block.after(lengths)  # type: ignore[operator]
        return self.last(x.unflatten(1, (-1, self.bins)).transpose(2, 3), lengths)

    def after(self, length: Count) -> Count:
        length = _ceil(length, 5)
        for block in (*self.blocks, self.last):
            length = block.after(length)  # type: ignore[operator]
        return length


def blocks_of(config: Config) -> dict[str, tuple[nn.Module, float]]:
    """The blocks of a trunk by name, each with the share of dropout after it."""
    channels, pools, layers = config.channels, config.pools, config.layers
    one = 1
    if config.family in ("dainet", "res1dnet"):
        one = channels[0]  # the stem has as many channels as the first block
    pairs = list(zip((one, *channels), channels))
    if config.family == "cnn":
        if config.front == "both":
            pairs[1] = (2 * channels[0], channels[1])
        num = 1 if config.kernel == 5 else 2
        return {
            str(n): (ConvBlock(*ends, (pool, pool), config.kernel, num), 0.2)
            for n, (ends, pool) in enumerate(zip(pairs, pools), 1)
        }
    if config.family == "resnet":
        grown = 4 if config.unit == "bottleneck" else 1
        found: dict[str, tuple[nn.Module, float]] = {
            "1": (ConvBlock(*pairs[0], (pools[0], pools[0])), 0.2)
        }
        for n, (num, (come, go)) in enumerate(zip(layers, pairs[1:]), 1):
            ends = come * (grown if n > 1 else 1), go
            found[f"stage{n}"] = (Stage(2, ends, pools[n], num, config.unit), 0.0)
        last = ConvBlock(pairs[-1][0] * grown, channels[-1], (pools[-1], pools[-1]))
        return {**found, "halve": (Halve(), 0.2), "last": (last, 0.2)}
    rows = enumerate(zip(pairs, pools))
    if config.family == "mobilenetv1":
        return {
            f"layer{n}": (Separable(ends, pool, 3, n > 0, torch.inf), 0.0)
            for n, (ends, pool) in rows
        }
    if config.family == "mobilenetv2":
        body = {
            f"layer{n}": (Inverted(ends, pool, 1 if n == 1 else 6), 0.0)
            for n, (ends, pool) in rows
            if 0 < n < len(pairs) - 1
        }
        first = Separable(pairs[0], pools[0], 3, False, 6.0)
        last_one = Separable(pairs[-1], pools[-1], 1, False, 6.0)
        return {"layer0": (first, 0.0), **body, f"layer{len(pairs) - 1}": (last_one, 0.0)}
    if config.family == "leenet":
        return {
            str(n + 1): (
                WaveBlock(ends, pool, layers[n], 1 if n else 3, "outer"),
                0.1 if layers[n] == 2 and n < len(pairs) - 1 else 0.0,
            )
            for n, (ends, pool) in rows
        }
    if config.family == "dainet":
        return {str(n + 1): (DaiBlock(ends, pool), 0.0) for n, (ends, pool) in rows}
    return {
        f"stage{n + 1}": (Stage(1, ends, pool, layers[n], config.unit), 0.0)
        for n, (ends, pool) in rows
    }


# --- model ---------------------------------------------------------------------------------------


class Map(NamedTuple):
    """values: (b, c, t) or (b, c, t, f), of which the first `lengths` (b,) steps are valid."""

    values: Tensor
    lengths: Int[Tensor, "b"] | None


class PANN(nn.Module, Embeds):
    """The encoder: trunk and embedding.

    features (b, bins, frames) or (b, 1, samples), lengths (b,) or None -> Tokens: the last map,
    averaged over frequency, and the embedding of the clip as `special`.

    >>> encoder = PANN(test())
    >>> tokens = encoder(torch.zeros(2, 64, 101))
    >>> tokens.values.shape, tokens.special.shape
    (torch.Size([2, 12, 32]), torch.Size([2, 1, 48]))
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.spec, self.width = config.features, config.channels[-1]
        self.special_width = config.embedding
        first, self.stem = config.channels[0], None
        self.spectrogram = self.wavegram = None
        if config.family in ("dainet", "res1dnet"):
            size, stride, around = (80, 4, 0) if config.family == "dainet" else (11, 5, 5)
            self.stem = nn.Conv1d(1, first, size, stride, padding=around, bias=False)
        if config.front != "logmel":
            self.wavegram = Wavegram(config.wave_channels, config.wave_bins, first)
        if config.front == "both":
            self.spectrogram = Frontend(logmel(self.spec.rate_hz, 2 * config.wave_bins))
        if config.family != "leenet":  # of the bins of the log-mel, or of what the stem makes
            bins = 2 * config.wave_bins if config.front != "logmel" else self.spec.rows
            self.norm = nn.BatchNorm1d(first if self.stem is not None else bins)
        blocks = blocks_of(config)
        self.blocks = nn.ModuleDict({name: block for name, (block, _) in blocks.items()})
        self.shares = {name: share for name, (_, share) in blocks.items()}
        self.embedding = nn.Linear(self.width, config.embedding)
        initialise(self)
        if config.front == "wavegram":  # in published files, not used
            self.norm.requires_grad_(False)
            self.blocks["1"].requires_grad_(False)
        self.least = self._shortest(1)
        self.column_stride = self._shortest(2) - self.least  # frames, or samples
        self.grid = (1, self.columns(max(config.frames, self.least)))

    def forward(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        last = self.trunk(self.front(features, lengths))
        values, count = last.values.transpose(1, 2), last.values.shape[2]
        mask = None
        if last.lengths is not None:
            mask = torch.arange(count, device=values.device) < last.lengths[:, None]
        return Tokens(values, mask, (1, count), special=self.embed_clip(last)[:, None])

    def front(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None
    ) -> list[Map]:
        """What the trunk starts from, and what augmentation acts on: the log-mel after its norm,
        the Wavegram, both in this order, or the waveform.
        """
        if features.shape[1] != self.spec.rows:
            raise InputError(f"this model takes {self.spec.rows} bins, not {features.shape[1]}")
        frames = features.shape[2]
        if lengths is not None and not bool((lengths < frames).any()):
            lengths = None
        if frames < self.least:
            if lengths is None:
                lengths = torch.full((len(features),), frames, device=features.device)
            features = nn.functional.pad(features, (0, self.least - frames))
        whole = None if lengths is None else lengths.clamp(min=self.least)
        if self.spec.kind != "waveform":
            return [self._normal(features, lengths, whole)]
        x, maps = within(features, lengths), []
        if self.spectrogram is not None:
            made = self.spectrogram(x[:, 0], whole)
            spectrum_lengths = None if whole is None else made.lengths
            maps.append(self._normal(made.values, spectrum_lengths, spectrum_lengths))
        if self.wavegram is not None:
            after = None if whole is None else self.wavegram.after(whole)
            maps.append(Map(self.wavegram(x, whole), after))
        return maps or [Map(x, whole)]

    def _normal(self, spectrogram: Tensor, lengths: Lengths, whole: Lengths) -> Map:
        """The log-mel after batch norm of its bins, (b, 1, t, f)."""
        x = within(normalised(self.norm, spectrogram, lengths), lengths)
        return Map(x.transpose(1, 2)[:, None], whole)

    def trunk(self, maps: Sequence[Map]) -> Map:
        """The last map, averaged over frequency: (b, width, columns)."""
        names, (x, lengths) = list(self.blocks), maps[0]
        if self.stem is not None:
            x = self.stem(within(x, lengths))
            lengths = None if lengths is None else self._after_stem(lengths)
            x = normalised(self.norm, x, lengths)
        if self.config.front == "wavegram":
            x = dropout(x, 0.2, self.training)
            names = names[1:]
        for name in names:
            block = self.blocks[name]
            x = block(x, lengths)
            lengths = None if lengths is None else block.after(lengths)  # type: ignore[operator]
            if name == "1" and len(maps) == 2:
                x, lengths = _beside(Map(x, lengths), maps[1])
            if self.shares[name]:
                x = dropout(x, self.shares[name], self.training)
        return Map(x if x.ndim == 3 else x.mean(3), lengths)

    def embed_clip(self, last: Map) -> Float[Tensor, "b e"]:
        """The embedding of the clip: mean and maximum over time, one hidden layer."""
        pooled = mean_and_max(*last)
        share = 0.0 if self.config.family == "mobilenetv2" else 0.5
        return relu(self.embedding(dropout(pooled, share, self.training)))

    def embed_steps(self, last: Map) -> Float[Tensor, "b t e"]:
        """The embedding of every column and its neighbours."""
        x = dropout(smoothed(*last), 0.5, self.training)
        return dropout(relu(self.embedding(x.transpose(1, 2))), 0.5, self.training)

    def columns(self, frames: int) -> int:
        """How many columns so many frames (or samples) become."""
        steps, names = frames, list(self.blocks)
        if self.stem is not None:
            steps = self._after_stem(frames)
        if self.wavegram is not None:
            steps, names = self.wavegram.after(frames), names[1:]
        if self.spectrogram is not None:
            beside: Any = self.blocks["1"]
            steps = min(steps, beside.after(self.spectrogram.spec.frames(frames)))
        for name in names:
            steps = self.blocks[name].after(steps)  # type: ignore[operator]
        return steps

    def _after_stem(self, length: Count) -> Count:
        return (length - 80) // 4 + 1 if self.config.family == "dainet" else _ceil(length, 5)

    def _shortest(self, columns: int) -> int:
        """The shortest input that makes so many columns."""
        low, high = 0, 1
        while self.columns(high) < columns:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.columns(middle) < columns else (low, middle)
        return high

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "panns", "config": self.config.to_dict()}


def _beside(first: Map, second: Map) -> Map:
    """Two maps joined along their channels, cut to the shorter."""
    frames = min(first.values.shape[2], second.values.shape[2])
    values = torch.cat([first.values[:, :, :frames], second.values[:, :, :frames]], dim=1)
    if first.lengths is None or second.lengths is None:
        return Map(values, None)
    return Map(values, torch.minimum(first.lengths, second.lengths))


class PANNs(nn.Module, Embeds, Tagging):
    """The tagger: an encoder and a sigmoid for each label.

    features, lengths as the encoder's -> logits (b, labels).

    >>> PANNs(test())(torch.zeros(2, 64, 101)).shape
    torch.Size([2, 3])
    """

    answer: Answer = "several"

    def __init__(self, config: Config):
        super().__init__()
        self.encoder = PANN(config)
        self.labels = config.labels
        ends = config.embedding, len(config.labels)
        attends = config.decision == "attention"
        self.head = AttentionTagging(*ends) if attends else nn.Linear(*ends)
        initialise(self.head)

    @property
    def config(self) -> Config:
        return self.encoder.config

    @property
    def spec(self) -> FeatureSpec:
        """The front-end that the encoder was made for."""
        return self.encoder.spec

    def forward(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b labels"]:
        return self.classify(self.encoder.trunk(self.encoder.front(features, lengths)))

    def classify(self, last: Map) -> Float[Tensor, "b labels"]:
        """Logits of the clip from the last map. Table 3 and section III.C of the paper."""
        decision = self.config.decision
        if decision == "clip":
            return self.head(self.encoder.embed_clip(last))
        steps = self.encoder.embed_steps(last)
        if decision == "attention":
            clip, _ = self.head(steps.transpose(1, 2), last.lengths)
            return _logit(clip)
        logits = self.head(steps).transpose(1, 2)
        if decision == "mean":
            count = logits.shape[2] if last.lengths is None else last.lengths[:, None]
            return _logit(within(logits.sigmoid(), last.lengths).sum(2) / count)
        beyond = within(torch.ones_like(logits), last.lengths) == 0
        return logits.masked_fill(beyond, -torch.inf).amax(2)

    def steps(self, last: Map) -> Float[Tensor, "b t labels"]:
        """Logits of every column of the last map."""
        embedded = self.encoder.embed_steps(last)
        if isinstance(self.head, AttentionTagging):
            return self.head(embedded.transpose(1, 2), last.lengths)[1]
        return self.head(embedded)

    @property
    def event_step(self) -> int:
        """How many features (frames or samples) one frame of `events` is."""
        waveform = self.spec.kind == "waveform"
        return round(self.spec.rate_hz / EVENT_RATE_HZ) if waveform else 1

    def events(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b labels events"]:
        """Scores of every label in every frame (of 10 ms), 0 beyond a clip's end.

        The answers of the columns, each repeated for the frames it stands for, the last one to the
        end (official code of the decision-level models).
        """
        last = self.encoder.trunk(self.encoder.front(features, lengths))
        scores = self.steps(last).sigmoid().transpose(1, 2)
        total = -(-features.shape[2] // self.event_step)
        place = torch.arange(total, device=scores.device) * self.event_step
        place = place // self.encoder.column_stride
        most = scores.shape[2] if last.lengths is None else last.lengths[:, None]
        place = torch.minimum(place.expand(len(scores), -1), torch.as_tensor(most - 1).to(place))
        found = scores.gather(2, place[:, None].expand(-1, scores.shape[1], -1))
        return within(found, None if lengths is None else _ceil(lengths, self.event_step))

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "tagger", "system": "panns", "config": self.config.to_dict()}


def _logit(probability: Tensor) -> Tensor:
    return probability.float().logit(eps=1e-7)


def build(config: Config) -> PANNs:
    return PANNs(config)


# --- published weights ---------------------------------------------------------------------------


def _published_names() -> tuple[tuple[str, str], ...]:
    """(official name, our name); `{}` stands for one part between dots."""
    rows = [
        ("bn0.{}", "encoder.norm.{}"),
        ("conv0.weight", "encoder.stem.weight"),
        ("fc1.{}", "encoder.embedding.{}"),
        ("fc_audioset.{}", "head.{}"),
        ("att_block.att.{}", "head.attend.{}"),
        ("att_block.cla.{}", "head.classify.{}"),
        ("att_block.bn_att.{}", "head.idle_norm.{}"),
        ("pre_conv0.weight", "encoder.wavegram.conv.weight"),
        ("pre_bn0.{}", "encoder.wavegram.norm.{}"),
        ("pre_block4.{}.{}", "encoder.wavegram.last.{}.{}"),
        ("conv_block_after1.{}.{}", "encoder.blocks.last.{}.{}"),
    ]
    rows += [(f"pre_block{n + 1}.{{}}.{{}}", f"encoder.wavegram.blocks.{n}.{{}}.{{}}")
             for n in range(3)]  # fmt: skip
    for n in range(1, 10):
        ours = f"encoder.blocks.{n}"
        rows += [
            (f"conv_block{n}.downsample.weight", f"{ours}.shortcut.weight"),
            (f"conv_block{n}.bn_downsample.{{}}", f"{ours}.shortcut_norm.{{}}"),
            (f"conv_block{n}.{{}}.{{}}", f"{ours}.{{}}.{{}}"),
        ]
    for n in range(1, 8):  # the first stage has no pooling in its shortcut
        unit, ours = f"resnet.layer{n}.{{}}", f"encoder.blocks.stage{n}.units.{{}}"
        conv, norm = (0, 1) if n == 1 else (1, 2)
        rows += [
            (f"{unit}.downsample.{conv}.{{}}", f"{ours}.shortcut.conv.{{}}"),
            (f"{unit}.downsample.{norm}.{{}}", f"{ours}.shortcut.norm.{{}}"),
            (f"{unit}.{{}}.{{}}", f"{ours}.{{}}.{{}}"),
        ]
    first = ("depthwise", "", "depthwise_norm", "", "project", "project_norm")
    rows += [(f"features.1.conv.{k}.{{}}", f"encoder.blocks.layer1.{name}.{{}}")
             for k, name in enumerate(first) if name]  # fmt: skip
    places = {"expand": 0, "expand_norm": 1, "depthwise": 3, "depthwise_norm": 5}
    places |= {"project": 7, "project_norm": 8}
    rows += [(f"features.{{}}.conv.{k}.{{}}", f"encoder.blocks.layer{{}}.{name}.{{}}")
             for name, k in places.items()]  # fmt: skip
    rows += [("features.18.1.{}", "encoder.blocks.layer18.bn1.{}")]
    for k, name in {0: "conv1", 2: "bn1", 4: "conv2", 5: "bn2"}.items():
        rows.append((f"features.{{}}.{k}.{{}}", f"encoder.blocks.layer{{}}.{name}.{{}}"))
    return tuple(rows)


PUBLISHED_NAMES = _published_names()
# the front-end, which we make ourselves
UNUSED = ("spectrogram_extractor.stft.conv_real.weight", "logmel_extractor.melW",
          "spectrogram_extractor.stft.conv_imag.weight")  # fmt: skip
STFT, MEL = UNUSED[:2]


def _bare(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("module."): value for name, value in state.items()}


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official file, whichever network it holds."""
    bare = _bare(names)
    heads = {"fc_audioset.weight", "att_block.att.weight"}
    starts = ("conv_block1.", "features.", "resnet.")
    return (
        "fc1.weight" in bare
        and bool(heads & bare.keys())
        and any(name.startswith(starts) for name in bare)
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours, of the tagger."""
    return rename(_bare(state), PUBLISHED_NAMES, unused=UNUSED)


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its names and shapes.

    The sample rate is told by the window of its front-end; without one it is 32 kHz. Files of
    decision-level Max and Avg look like CNN14 and are taken for it: see `load_published`.
    """
    bare = _bare(state)
    head = "att_block.att" if "att_block.att.weight" in bare else "fc_audioset"
    labels = len(bare[f"{head}.bias"])
    config = dataclasses.replace(
        _network(bare),
        embedding=len(bare["fc1.bias"]),
        labels=LABELS if labels == len(LABELS) else tuple(f"class {n}" for n in range(labels)),
        decision="attention" if head == "att_block.att" else "clip",
    )
    if config.features.kind == "waveform":
        return config
    rate_hz = 32000 * bare[STFT].shape[-1] // 1024 if STFT in bare else 32000
    return dataclasses.replace(config, features=logmel(rate_hz, len(bare["bn0.bias"])))


def _network(bare: Mapping[str, Tensor]) -> Config:
    """Family and sizes of the network of an official file."""
    if "features.1.conv.0.weight" in bare:
        return mobilenetv2()
    if "features.1.0.weight" in bare:
        return mobilenetv1()
    units = [
        len({name.split(".")[2] for name in bare if name.startswith(f"resnet.layer{n}.")})
        for n in range(1, 8)
    ]
    if "conv0.weight" in bare:
        return dataclasses.replace(res1dnet31(), layers=tuple(units)) if units[0] else dainet19()
    if units[0]:
        unit: Literal["basic", "bottleneck"] = (
            "bottleneck" if "resnet.layer1.0.conv3.weight" in bare else "basic"
        )
        return dataclasses.replace(resnet22(), layers=tuple(units[:4]), unit=unit)
    if "conv_block9.conv1.weight" in bare:
        return leenet24() if "conv_block9.conv2.weight" in bare else leenet11()
    blocks = [n for n in range(1, 7) if f"conv_block{n}.conv1.weight" in bare]
    weight = [bare[f"conv_block{n}.conv1.weight"] for n in blocks]
    channels = tuple(len(one) for one in weight)
    pools = (2, 2, 2, 2, 2, 1) if len(blocks) == 6 else (2,) * len(blocks)
    config = Config(channels=channels, pools=pools, kernel=weight[0].shape[-1])
    if "pre_conv0.weight" not in bare:
        return config
    waves = [bare["pre_conv0.weight"], *(bare[f"pre_block{n}.conv1.weight"] for n in (1, 2, 3))]
    both = weight[1].shape[1] == 2 * channels[0]
    return dataclasses.replace(
        _waves(config),
        front="both" if both else "wavegram",
        wave_channels=tuple(len(one) for one in waves),
        wave_bins=len(bare["bn0.bias"]) // 2,
    )


ALIKE = ("max", "mean")  # decisions that leave no trace in a file


def load_published(state: Mapping[str, Tensor], name: str | None = None) -> PANNs:
    """An official file as a model: the variant that it looks like, or the preset of this name.

    Raises InputError where the file holds another network than the preset, and names it.
    """
    found = config_from_published(state)
    if name is not None:
        from sonograph.registry import preset

        asked = preset(name).make()
        if not isinstance(asked, Config):
            raise InputError(f"{name} is no preset of PANNs")
        if STFT not in _bare(state) and asked.features.kind == found.features.kind:
            found = dataclasses.replace(found, features=asked.features)
        if found.decision == "clip" and asked.decision in ALIKE:
            found = dataclasses.replace(found, decision=asked.decision)
        if dataclasses.replace(asked, labels=found.labels, frames=found.frames) != found:
            raise InputError(
                f"the file looks like {look_of(found)}, not {name}: load it as what it is"
            )
    model = PANNs(found)
    ours = from_published(state)
    own = model.state_dict()
    missing = sorted(own.keys() - ours.keys())
    wrong = [n for n in own.keys() & ours.keys() if own[n].shape != ours[n].shape]
    if missing or wrong:
        raise InputError(
            f"the file looks like {look_of(found)}, but {(missing or wrong)[0]} is "
            f"{'missing' if missing else 'of another shape'}"
        )
    model.load_state_dict({name: ours[name] for name in own})
    return model


def look_of(config: Config) -> str:
    """The name of the preset that has this network, or what network it is."""
    from sonograph.registry import presets

    for preset in presets("panns-*"):
        made: Any = preset.make()
        if dataclasses.replace(made, labels=config.labels, frames=config.frames) == config:
            return preset.name
    return f"a {config.family} with channels {config.channels} and front {config.front!r}"


EXPORTS = True  # torch.export takes the encoder, for clips that fill their batch


# --- presets -------------------------------------------------------------------------------------


@register("panns-test", system="panns", note="for tests: under a million parameters")
def test() -> Config:
    return Config(
        channels=(8, 16, 32),
        pools=(2, 2, 2),
        embedding=48,
        labels=("speech", "music", "noise"),
        frames=101,
    )


@register("panns-demo", system="panns", note="the claim's: CNN10, a quarter as wide, one second")
def demo() -> Config:
    return _slim(4, frames=101)


@register("panns-mini", system="panns", note="CNN10, half as wide, at 16 kHz, five seconds")
def mini() -> Config:
    return _slim(2, frames=501)


def _slim(share: int, frames: int) -> Config:
    full = cnn10()
    return dataclasses.replace(
        full,
        channels=tuple(width // share for width in full.channels),
        embedding=full.embedding // share,
        features=logmel(16000),
        frames=frames,
    )


@register("panns-cnn6", system="panns", parameters=4_837_455)
def cnn6() -> Config:
    return dataclasses.replace(cnn10(), kernel=5)


@register("panns-cnn10", system="panns", parameters=5_219_279)
def cnn10() -> Config:
    return Config(channels=(64, 128, 256, 512), pools=(2, 2, 2, 2), embedding=512)


@register("panns-cnn14", system="panns", parameters=80_753_615)
def cnn14() -> Config:
    return Config()


def _variant(name: str, parameters: int, base: Any, changes: dict[str, Any], note: str) -> None:
    """A preset that differs from another in a field or two."""
    make = lambda: dataclasses.replace(base(), **changes)  # noqa: E731
    register(f"panns-{name}", system="panns", parameters=parameters, note=note)(make)


_variant("cnn14-16k", 80_753_615, cnn14, {"features": logmel(16000)}, "sound at 16 kHz")
_variant("cnn14-8k", 80_753_615, cnn14, {"features": logmel(8000)}, "sound at 8 kHz")
_variant("cnn14-mel32", 80_753_551, cnn14, {"features": logmel(bins=32)}, "32 mel bands")
_variant("cnn14-mel128", 80_753_743, cnn14, {"features": logmel(bins=128)}, "128 mel bands")
_variant("cnn14-emb512", 76_796_879, cnn14, {"embedding": 512}, "vectors of 512")
_variant("cnn14-emb128", 75_807_695, cnn14, {"embedding": 128}, "vectors of 128")
_variant("cnn14-emb32", 75_560_399, cnn14, {"embedding": 32}, "vectors of 32")
_variant("cnn14-decision-max", 80_753_615, cnn14, {"decision": "max"}, "the clip is its best step")
_variant("cnn14-decision-avg", 80_753_615, cnn14, {"decision": "mean"}, "the mean of its steps")
_variant("cnn14-decision-att", 81_834_492, cnn14, {"decision": "attention"}, "steps attended to")


@register("panns-resnet22", system="panns", parameters=63_675_087)
def resnet22() -> Config:
    return Config(
        family="resnet",
        channels=(64, 64, 128, 256, 512, 2048),
        pools=(2, 1, 2, 2, 2, 1),
        layers=(2, 2, 2, 2),
    )


_variant("resnet38", 73_783_247, resnet22, {"layers": (3, 4, 6, 3)}, "")
_variant(
    "resnet54", 104_318_159, resnet22, {"layers": (3, 4, 6, 3), "unit": "bottleneck"}, "bottlenecks"
)


@register("panns-mobilenetv1", system="panns", parameters=4_796_303)
def mobilenetv1() -> Config:
    return Config(
        family="mobilenetv1",
        channels=(32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024),
        pools=(2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
        embedding=1024,
    )


@register("panns-mobilenetv2", system="panns", parameters=4_075_343)
def mobilenetv2() -> Config:
    return Config(
        family="mobilenetv2",
        channels=(32, 16, *(24,) * 2, *(32,) * 3, *(64,) * 4, *(96,) * 3, *(160,) * 3, 320, 1280),
        pools=(2, 1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 2, *(1,) * 7),
        embedding=1024,
    )


def _waves(config: Config) -> Config:
    """The same on the waveform: ten seconds at 32 kHz."""
    return dataclasses.replace(config, front="both", features=waveform_spec(32000), frames=320_000)


@register("panns-wavegram-logmel-cnn14", system="panns", parameters=81_065_487)
def wavegram_logmel_cnn14() -> Config:
    return _waves(cnn14())


_variant(
    "wavegram-cnn14", 80_991_759, wavegram_logmel_cnn14, {"front": "wavegram"}, "waveform alone"
)


def _raw(family: Family, channels: tuple[int, ...], pools: tuple[int, ...], embedding: int,
         layers: tuple[int, ...] = ()) -> Config:  # fmt: skip
    """A one-dimensional network on the waveform."""
    return Config(
        family=family,
        channels=channels,
        pools=pools,
        layers=layers,
        embedding=embedding,
        features=waveform_spec(32000),
        frames=320_000,
    )


@register("panns-leenet11", system="panns", parameters=748_367)
def leenet11() -> Config:
    channels = (64, 64, 64, *(128,) * 5, 256)
    return _raw("leenet", channels, (1, *(3,) * 8), 512, (1,) * 9)


@register("panns-leenet24", system="panns", parameters=10_003_791)
def leenet24() -> Config:
    channels = (64, 96, 128, 128, 256, 256, 512, 512, 1024)
    return _raw("leenet", channels, (1, *(3,) * 7, 1), 1024, (2,) * 9)


@register("panns-dainet19", system="panns", parameters=4_385_807)
def dainet19() -> Config:
    return _raw("dainet", (64, 128, 256, 512), (4, 4, 4, 1), 512)


@register("panns-res1dnet31", system="panns", parameters=80_464_463)
def res1dnet31() -> Config:
    channels = (64, 128, 256, 512, 1024, 1024, 2048)
    return _raw("res1dnet", channels, (1, *(4,) * 6), 2048, (2,) * 7)


_variant("res1dnet51", 106_538_063, res1dnet31, {"layers": (2, 3, 4, 6, 4, 3, 2)}, "")


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Convolutional networks that name what is heard, and start taggers with few labels.",
    use=(
        "Tags of everyday sounds with published weights: `sonograph.load` opens the official "
        "files of every variant.",
        "A small labelled set and a network that has heard more: fine-tune, or probe the "
        '`special` token, the embedding (pool="special" is the paper\'s own transfer).',
        "When something sounds, not only what: `events` gives scores every 10 ms, the "
        "decision-level models were trained for it.",
    ),
    avoid=(
        "No labels at all: these networks learn from labels; SSAST and BEATs learn without.",
        "Events shorter than a third of a second are to be placed in time: a column of CNN14 is "
        "0.32 s wide (CNN10 and CNN6: 0.16 s).",
        "Little memory: CNN14 has 81 million weights; MobileNetV1, V2 and CNN6 have under 5.",
        "The presets without published weights know nothing; only their labels have names.",
    ),
    paper="Qiuqiang Kong, Yin Cao, Turab Iqbal, Yuxuan Wang, Wenwu Wang, Mark D. Plumbley, "
    "IEEE/ACM TASLP 2020",
    figures=(
        "AudioSet mAP: CNN6 0.343, CNN10 0.380, CNN14 0.431 (16 kHz 0.438, 8 kHz 0.416)",
        "AudioSet mAP: ResNet22 0.430, ResNet38 0.434, ResNet54 0.429, MobileNetV1 0.389, "
        "MobileNetV2 0.383",
        "AudioSet mAP: Wavegram-CNN 0.389, Wavegram-Logmel-CNN 0.439, best before 0.392",
        "AudioSet mAP: Res1dNet31 0.365, Res1dNet51 0.355, LeeNet11 0.266, LeeNet24 0.336, "
        "DaiNet19 0.295, decision-level Max 0.385, Att 0.425",
        "ESC-50 accuracy 94.7 % fine-tuned, 83.3 % from scratch",
    ),
    code_licence="MIT",
    weights_licence="CC BY 4.0 (Zenodo record 3987831); trained on AudioSet",
    deviations=(
        "What lies beyond a clip's end is zero before every convolution and left out of means, "
        "maxima and batch statistics. The official code pads the waveform with silence to ten "
        "seconds and takes it for sound.",
        "Clips too short for one column are filled up; the official code fails on them.",
        "Wavegram-Logmel cuts its two branches to the shorter where they differ by a step; the "
        "official code fails on such lengths.",
        "`events` works for every variant, for those trained on whole clips with their own head "
        "on three columns at a time.",
        "Decision-level Avg and Att give the clip's logit as the logit of its probability.",
        "Small presets (`panns-test`, `-demo`, `-mini`) are ours: CNN10 with narrower blocks, a "
        "window of five seconds at 16 kHz in `panns-mini`.",
    ),
    faults=(
        "The second dropout acts on what is given out as the embedding, not on what the "
        "classifier sees.",
        "Models own weights that they never use (a batch norm in the attention block, a first "
        "block and an input norm in Wavegram-CNN14, a shortcut in DaiNet19); kept, frozen, so "
        "that counts and files agree.",
        "The 16 and 8 kHz training data are decimated without a filter against aliasing.",
        "Building STFT and mel bank as weights makes every file carry them; ours makes them.",
        "Files of CNN14 and of decision-level Max and Avg cannot be told apart.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("panns",),
    checks=(),
)
