"""The encoder and the tagger of PANNs, every published network of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec, Frontend, log_mel_spec
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
from sonograph.systems.tag.panns.blocks import (
    DaiBlock,
    Halve,
    Inverted,
    Separable,
    Stage,
    WaveBlock,
    Wavegram,
    divided_up,
)
from sonograph.systems.tag.panns.labels import LABELS

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

    >>> encoder = PANN(Config(channels=(8, 12), pools=(2, 2), embedding=16, labels=("a", "b", "c")))
    >>> tokens = encoder(torch.zeros(2, 64, 101))
    >>> tokens.values.shape, tokens.special.shape
    (torch.Size([2, 25, 12]), torch.Size([2, 1, 16]))
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
        return (length - 80) // 4 + 1 if self.config.family == "dainet" else divided_up(length, 5)

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

    >>> config = Config(channels=(8, 12), pools=(2, 2), embedding=16, labels=("a", "b", "c"))
    >>> PANNs(config)(torch.zeros(2, 64, 101)).shape
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
        return self._every_frame(last, features.shape[2], lengths)

    def heard(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> tuple[Float[Tensor, "b labels"], Float[Tensor, "b labels events"]]:
        """The logits of `forward` and the scores of `events`, by one pass of the trunk."""
        last = self.encoder.trunk(self.encoder.front(features, lengths))
        return self.classify(last), self._every_frame(last, features.shape[2], lengths)

    def _every_frame(
        self, last: Map, frames: int, lengths: Int[Tensor, "b"] | None
    ) -> Float[Tensor, "b labels events"]:
        scores = self.steps(last).sigmoid().transpose(1, 2)
        total = -(-frames // self.event_step)
        place = torch.arange(total, device=scores.device) * self.event_step
        place = place // self.encoder.column_stride
        most = scores.shape[2] if last.lengths is None else last.lengths[:, None]
        place = torch.minimum(place.expand(len(scores), -1), torch.as_tensor(most - 1).to(place))
        found = scores.gather(2, place[:, None].expand(-1, scores.shape[1], -1))
        return within(found, None if lengths is None else divided_up(lengths, self.event_step))

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "tagger", "system": "panns", "config": self.config.to_dict()}


def _logit(probability: Tensor) -> Tensor:
    return probability.float().logit(eps=1e-7)


def build(config: Config) -> PANNs:
    return PANNs(config)
