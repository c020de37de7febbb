"""The detector: four encoders of songs, a linear layer on one vector of their tokens."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, pad

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec, log_mel_spec
from sonograph.errors import InputError
from sonograph.nn.attention import Attention
from sonograph.nn.efficient_vit import EfficientViT
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.heads import Tagging
from sonograph.nn.patches import PatchEmbed, patch_grid
from sonograph.nn.transformer import PreNormBlock


def features() -> FeatureSpec:
    """128 log-mel bands in decibels, 80 below the clip's loudest at the least, normalised."""
    plain = log_mel_spec(
        16000, 2048, 512, 128, low_hz=20.0, high_hz=8000.0, mel_scale="htk_float32",
        mel_norm="none",
        top_db=80.0,
    )  # fmt: skip
    return plain.override(level="deviation", normalise="clip", normalise_eps=1e-6)


Kind = Literal["spectttra", "vit", "convnext", "efficientvit"]


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes are those of alpha on five seconds."""

    kind: Kind = "spectttra"
    width: int = 384
    depth: int = 12
    num_heads: int = 6
    mlp_ratio: float = 2.67
    time_clip: int = 3  # columns of a temporal token
    frequency_clip: int = 1  # rows of a spectral token
    patch: tuple[int, int] = (16, 16)  # of the ViT
    stages: tuple[int, ...] = (3, 3, 9, 3)  # blocks of the convolutional ones, whose widths double
    head_width: int = 32  # of the EfficientViT's attention
    summary: tuple[int, int] = (2304, 2560)  # layers on its way from map to vector
    frames: int = 157  # of a clip: the weights belong to this length
    size: tuple[int, int] = (128, 128)  # (bins, columns) that a clip is resized to
    dropout: float = 0.1  # of tokens and of attention
    labels: tuple[str, ...] = ("real", "synthetic")
    features: FeatureSpec = features()


# --- blocks --------------------------------------------------------------------------------------


class DropAttention(Attention):
    """Self-attention without biases of queries, keys and values, with dropout of its weights."""

    def __init__(self, width: int, num_heads: int, dropout: float):
        super().__init__(width, num_heads, dropout)
        self.qkv = nn.Linear(width, 3 * width, bias=False)


def block(config: Config) -> PreNormBlock:
    """A transformer block as timm's ViT has it, with the attention above."""
    made = PreNormBlock(config.width, config.num_heads, config.mlp_ratio, norm_eps=1e-5)
    made.attention = DropAttention(config.width, config.num_heads, config.dropout)
    return made


class ClipTokenizer(nn.Module):
    """One token for every `clip` steps of an axis, each seeing the whole other axis.

    (b, channels, steps) -> (b, steps // clip, width): convolution, GELU, positions, norm.
    Section 4 of the paper.
    """

    def __init__(self, channels: int, steps: int, clip: int, width: int):
        super().__init__()
        self.project = nn.Conv1d(channels, width, clip, stride=clip, bias=False)
        self.positions = nn.Parameter(0.02 * torch.randn(1, steps // clip, width))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Float[Tensor, "b channels steps"]) -> Float[Tensor, "b n d"]:
        return self.norm(gelu(self.project(x)).transpose(1, 2) + self.positions)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7, norm over channels, two linear maps, learned scale. Liu et al. 2022."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Float[Tensor, "b d f t"]) -> Float[Tensor, "b d f t"]:
        inner = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        inner = self.scale * self.contract(gelu(self.expand(inner)))
        return x + inner.permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of a map."""

    def forward(self, x: Float[Tensor, "b d f t"]) -> Float[Tensor, "b d f t"]:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


# --- encoders ------------------------------------------------------------------------------------


class Encoder(nn.Module, Embeds):
    """What the four encoders share: every clip becomes a map of one size.

    features (b, bins, frames), lengths (b,) or None -> Tokens. Shorter clips are filled up; longer
    ones raise InputError.
    """

    grid: tuple[int, int]

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.spec, self.width = config.features, config.width
        self.vector_width = config.width

    def vector(self, tokens: Tokens) -> Float[Tensor, "b v"]:
        """What the classifier reads: the mean of all tokens, of time and of frequency together."""
        parts = [tokens.values] if tokens.special is None else [tokens.values, tokens.special]
        return torch.cat(parts, dim=1).mean(1)

    def resized(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None
    ) -> Float[Tensor, "b rows columns"]:
        (bins, frames), most = features.shape[1:], self.config.frames
        if bins != self.spec.bins:
            raise InputError(f"this model takes {self.spec.bins} bins, not {bins}")
        if frames > most:
            raise InputError(
                f"{frames} frames are more than the {most} this model was made for: cut the sound, "
                f"or carry the weights to that length with `refit(model, frames={frames})`"
            )
        if lengths is not None and bool((lengths < frames).any()):
            beyond = torch.arange(frames, device=features.device) >= lengths[:, None]
            features = features.masked_fill(beyond[:, None], 0.0)
        features = pad(features, (0, most - frames))
        if features.shape[1:] == self.config.size:
            return features
        return interpolate(features[:, None], self.config.size, mode="bilinear")[:, 0]

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "spectttra", "config": self.config.to_dict()}


class SpecTTTra(Encoder):
    """Temporal and spectral tokens through one transformer, without a final norm.

    >>> from sonograph.systems.tag import spectttra
    >>> SpecTTTra(spectttra.test())(torch.zeros(2, 128, 40)).special.shape
    torch.Size([2, 16, 48])
    """

    def __init__(self, config: Config):
        super().__init__(config)
        bins, columns = config.size
        self.temporal = ClipTokenizer(bins, columns, config.time_clip, config.width)
        self.spectral = ClipTokenizer(columns, bins, config.frequency_clip, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(block(config) for _ in range(config.depth))
        self.grid = (1, columns // config.time_clip)

    def tokens(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Temporal tokens, then spectral ones, before the blocks."""
        x = self.resized(features, lengths)
        return torch.cat([self.temporal(x), self.spectral(x.transpose(1, 2))], dim=1)

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        x = self.dropout(self.tokens(features, lengths))
        for layer in self.blocks:
            x = layer(x)
        count = self.grid[1]
        return Tokens(x[:, :count], None, self.grid, special=x[:, count:])


class ViT(Encoder):
    """The paper's baseline: squares of 16 x 16, a norm after their projection."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.grid = patch_grid(config.size, config.patch, config.patch)
        self.patches = PatchEmbed(config.width, config.patch, config.patch)
        self.patch_norm = nn.LayerNorm(config.width, eps=1e-5)
        places = self.grid[0] * self.grid[1]
        self.positions = nn.Parameter(0.02 * torch.randn(1, places, config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(block(config) for _ in range(config.depth))

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        x = self.patch_norm(self.patches(self.resized(features, lengths)))
        x = self.dropout(x + self.positions)
        for layer in self.blocks:
            x = layer(x)
        return Tokens(x, None, self.grid)


class ConvNeXt(Encoder):
    """The paper's convolutional baseline on a map of one channel. Liu et al. 2022, table 9."""

    def __init__(self, config: Config):
        super().__init__(config)
        first = config.width >> (len(config.stages) - 1)
        steps: list[nn.Module] = [nn.Conv2d(1, first, 4, stride=4), ChannelNorm(first, eps=1e-6)]
        for n, depth in enumerate(config.stages):
            width = first << n
            if n:
                steps.append(ChannelNorm(width // 2, eps=1e-6))
                steps.append(nn.Conv2d(width // 2, width, 2, stride=2))
            steps += [ConvNeXtBlock(width) for _ in range(depth)]
        self.steps = nn.Sequential(*steps)
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        shrink = 4 << (len(config.stages) - 1)
        self.grid = (config.size[0] // shrink, config.size[1] // shrink)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        x = self.steps(self.resized(features, lengths)[:, None])
        return Tokens(rearrange(x, "b d f t -> b (f t) d"), None, self.grid)

    def vector(self, tokens: Tokens) -> Float[Tensor, "b v"]:
        return self.norm(super().vector(tokens))


class EfficientVit(Encoder):
    """The paper's baseline of linear attention, B2 on a map of one channel. Cai et al. 2023.

    Its tokens are the last map of the trunk; on the way to the vector each goes through a wide
    layer, and their mean through another. `stages` are the blocks of the stem and of four stages.
    """

    def __init__(self, config: Config):
        super().__init__(config)
        count = len(config.stages)
        widths = [config.width >> (count - 1 - n) for n in range(count)]
        self.trunk = EfficientViT(1, widths, config.stages, config.head_width)
        self.grid = (-(-config.size[0] >> count), -(-config.size[1] >> count))
        wide, self.vector_width = config.summary
        self.widen = nn.Sequential(
            nn.Linear(config.width, wide, bias=False), nn.BatchNorm1d(wide), nn.Hardswish()
        )
        self.summary = nn.Sequential(
            nn.Linear(wide, self.vector_width, bias=False),
            nn.LayerNorm(self.vector_width),
            nn.Hardswish(),
        )

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        x = self.trunk(self.resized(features, lengths)[:, None])
        return Tokens(rearrange(x, "b d f t -> b (f t) d"), None, self.grid)

    def vector(self, tokens: Tokens) -> Float[Tensor, "b v"]:
        wide = self.widen(tokens.values.flatten(0, 1)).unflatten(0, tokens.values.shape[:2])
        return self.summary(wide.mean(1))


# --- model ---------------------------------------------------------------------------------------


class Detector(nn.Module, Embeds, Tagging):
    """An encoder and a linear layer on one vector of its tokens: real or synthetic.

    features (b, bins, frames), lengths (b,) or None -> logits (b, 2), see the head of this file.
    """

    def __init__(self, config: Config):
        super().__init__()
        made = {
            "spectttra": SpecTTTra,
            "vit": ViT,
            "convnext": ConvNeXt,
            "efficientvit": EfficientVit,
        }
        if len(config.labels) != 2:
            raise InputError(f"one logit tells two labels apart, not {len(config.labels)}")
        self.config, self.labels = config, config.labels
        self.encoder = made[config.kind](config)
        self.classifier = nn.Linear(self.encoder.vector_width, 1)

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def vector(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b d"]:
        """What the encoder makes of all its tokens."""
        return self.encoder.vector(self.encoder(features, lengths))

    def logit(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b 1"]:
        """The published answer: above 0 for synthetic."""
        return self.classifier(self.vector(features, lengths))

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b 2"]:
        return pad(self.logit(features, lengths), (1, 0))

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "tagger", "system": "spectttra", "config": self.config.to_dict()}


def build(config: Config) -> Detector:
    return Detector(config)


def loss(
    logit: Float[Tensor, "b 1"], synthetic: Float[Tensor, "b"], smoothing: float = 0.02
) -> Float[Tensor, ""]:
    """Binary cross-entropy with labels moved `smoothing` / 2 away from 0 and 1."""
    targets = synthetic * (1 - smoothing) + smoothing / 2
    return nn.functional.binary_cross_entropy_with_logits(logit[:, 0], targets)


def refit(model: Detector, frames: int) -> Detector:
    """The same SpecTTTra for clips of another length: positions in time and the weights of the
    spectral tokens, which see all of it, are stretched.

    Raises InputError for the baselines.
    """
    old = model.config
    if old.kind != "spectttra":
        raise InputError(f"only SpecTTTra is carried to another length, not {old.kind}")
    columns = max(old.time_clip, round(frames * old.size[1] / old.frames))
    new = Detector(dataclasses.replace(old, frames=frames, size=(old.size[0], columns)))
    state = dict(model.state_dict())
    table = state["encoder.temporal.positions"].transpose(1, 2)
    table = interpolate(table, columns // old.time_clip, mode="linear")
    state["encoder.temporal.positions"] = table.transpose(1, 2)
    kernel = state["encoder.spectral.project.weight"].transpose(1, 2)
    kernel = interpolate(kernel, columns, mode="linear") * (old.size[1] / columns)
    state["encoder.spectral.project.weight"] = kernel.transpose(1, 2)
    new.load_state_dict(state)
    return new.to(next(model.parameters()).device)
