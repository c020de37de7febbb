"""SpecTTTra: does a machine sing? Long songs in few tokens, of time and of frequency.

For whoever must tell generated songs from recorded ones. Rahman et al., "SONICS: Synthetic Or Not -
Identifying Counterfeit Songs", ICLR 2025. A ViT cuts a spectrogram into squares; this transformer
cuts it into T / t columns and F / f rows, so that two minutes are 1,376 tokens at the most instead
of 1,872. The ViT, ConvNeXt and EfficientViT that the paper compares with are here as well.

Published (F1 of the class synthetic; songs a second): 5 s 0.78 and 148, 120 s 0.97 and 47 (alpha).

Shapes: features (b, 128, frames) -> resized (b, bins, columns) -> temporal tokens (values, on the
grid (1, columns // t)) and spectral ones (special, bins // f of them) -> logits (b, 2).

Ours, where the paper is silent: its single logit z, that of synthetic, is answered as (0, z) for
(real, synthetic), whose softmax is (1 - sigmoid z, sigmoid z); a shorter clip is filled up with the
mean of the features; `refit` carries the weights to another length, which the paper does not do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, pad

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec, Frontend, log_mel_spec
from sonograph.errors import InputError
from sonograph.nn.attention import Attention
from sonograph.nn.efficient_vit import EfficientViT
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.heads import Tagging
from sonograph.nn.patches import PatchEmbed, patch_grid
from sonograph.nn.transformer import PreNormBlock
from sonograph.registry import About, register
from sonograph.weights import rename


def features() -> FeatureSpec:
    """128 log-mel bands in decibels, 80 below the clip's loudest at the least, normalised."""
    plain = log_mel_spec(
        16000, 2048, 512, 128, low_hz=20.0, high_hz=8000.0, mel_scale="htk_float32",
        mel_norm="none",
        top_db=80.0,
    )  # fmt: skip
    return plain.override(level="deviation", normalise="clip", normalise_eps=1e-6)


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes are those of alpha on five seconds."""

    kind: Literal["spectttra", "vit", "convnext", "efficientvit"] = "spectttra"
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

    >>> SpecTTTra(test())(torch.zeros(2, 128, 40)).special.shape
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


# --- published weights ---------------------------------------------------------------------------


def published_features(
    waveform: Float[Tensor, "b n"], spec: FeatureSpec
) -> Float[Tensor, "b bins frames"]:
    """Features as the official code makes them: `top_db` below the loudest of the whole batch.

    So a quiet clip's features depend on its neighbours; `Frontend` takes each clip's own loudest.
    """
    if spec.top_db is None:
        raise InputError("without top_db the official features are those of Frontend")
    raw = Frontend(spec.override(top_db=None, normalise="fixed"))(waveform).values
    raw = raw.clamp(min=float(raw.max()) - spec.top_db)
    deviation, mean = torch.std_mean(raw, (1, 2), keepdim=True)
    return (raw - mean) / (deviation + spec.normalise_eps)


TOKENIZER, BLOCK = "encoder.st_tokenizer.{}_tokenizer", "encoder.transformer.blocks.{}"
# published name, our name; what stands in braces is a number or a kind of weight
PUBLISHED_NAMES = (
    *(
        pair
        for axis in ("temporal", "spectral")
        for pair in (
            (f"{TOKENIZER.format(axis)}.conv1d.{{}}", f"encoder.{axis}.project.{{}}"),
            (f"{TOKENIZER.format(axis)}.pos_encoder.pe", f"encoder.{axis}.positions"),
            (f"{TOKENIZER.format(axis)}.norm_pre.{{}}", f"encoder.{axis}.norm.{{}}"),
        )
    ),
    ("encoder.patch_encoder.proj.{}", "encoder.patches.project.{}"),
    ("encoder.patch_encoder.norm.{}", "encoder.patch_norm.{}"),
    ("encoder.pos_encoder.pe", "encoder.positions"),
    (f"{BLOCK}.norm1.{{}}", "encoder.blocks.{}.norm1.{}"),
    (f"{BLOCK}.attn.qkv.{{}}", "encoder.blocks.{}.attention.qkv.{}"),
    (f"{BLOCK}.attn.proj.{{}}", "encoder.blocks.{}.attention.project.{}"),
    (f"{BLOCK}.norm2.{{}}", "encoder.blocks.{}.norm2.{}"),
    (f"{BLOCK}.mlp.fc1.{{}}", "encoder.blocks.{}.feedforward.expand.{}"),
    (f"{BLOCK}.mlp.fc2.{{}}", "encoder.blocks.{}.feedforward.contract.{}"),
    ("classifier.{}", "classifier.{}"),
)
# windows and filter banks, which the features hold
UNUSED = tuple("ft_extractor" + ".{}" * n for n in range(1, 6))
FRAMES = {128: 157, 3744: 3751}  # published clips of 5 and 120 s, by the columns they become


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official SpecTTTra file, or of its ViT."""
    first = {"encoder.st_tokenizer.temporal_tokenizer.conv1d.weight", "encoder.pos_encoder.pe"}
    return bool(first & set(names)) and "classifier.weight" in names


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours."""
    return rename(state, PUBLISHED_NAMES, UNUSED)


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its shapes."""
    depth = 1 + max(int(n.split(".")[3]) for n in state if ".transformer.blocks." in n)
    hidden, width = state["encoder.transformer.blocks.0.mlp.fc1.weight"].shape
    # the hidden width is rounded down from a ratio; half a unit more gives it again
    ratio = 2.67 if int(width * 2.67) == hidden else (hidden + 0.5) / width
    config = Config(width=width, depth=depth, num_heads=max(1, width // 64), mlp_ratio=ratio)
    if "encoder.pos_encoder.pe" in state:
        rows, step = (int(n) for n in state["encoder.patch_encoder.proj.weight"].shape[2:])
        columns = state["encoder.pos_encoder.pe"].shape[1] // (config.size[0] // rows) * step
        config = dataclasses.replace(config, kind="vit", patch=(rows, step))
    else:
        _, _, time_clip = state[f"{TOKENIZER.format('temporal')}.conv1d.weight"].shape
        _, columns, clip = state[f"{TOKENIZER.format('spectral')}.conv1d.weight"].shape
        config = dataclasses.replace(config, time_clip=time_clip, frequency_clip=clip)
    return dataclasses.replace(config, frames=_frames(columns), size=(config.size[0], columns))


def _frames(columns: int) -> int:
    if columns not in FRAMES:
        raise InputError(f"a file for {columns} columns is none of 5 or 120 s: {[*FRAMES]}")
    return FRAMES[columns]


def load_published(state: Mapping[str, Tensor]) -> Detector:
    """An official file as a model that tags."""
    model = Detector(config_from_published(state))
    model.load_state_dict(from_published(state))
    return model


# --- presets -------------------------------------------------------------------------------------


@register("spectttra-test", system="spectttra", note="for tests: under a million parameters")
def test() -> Config:
    return Config(width=48, depth=2, num_heads=2, frequency_clip=8, frames=40, size=(128, 32))


@register("spectttra-mini", system="spectttra", note="ours: 2 s, 32 tokens, one core")
def mini() -> Config:
    return Config(
        width=128, depth=4, num_heads=4, time_clip=4, frequency_clip=8, frames=63, size=(128, 64)
    )


@register("spectttra-vit-mini", system="spectttra", note="ours: the ViT of spectttra-mini's size")
def vit_mini() -> Config:
    return dataclasses.replace(mini(), kind="vit")


@register("spectttra-alpha-5s", system="spectttra", parameters=16_828_045, note="170 tokens")
def alpha_5s() -> Config:
    return Config()


@register("spectttra-beta-5s", system="spectttra", parameters=16_985_101, note="67 tokens")
def beta_5s() -> Config:
    return Config(time_clip=5, frequency_clip=3)


@register("spectttra-gamma-5s", system="spectttra", parameters=17_172_493, note="43 tokens")
def gamma_5s() -> Config:
    return Config(time_clip=7, frequency_clip=5)


def _long(config: Config) -> Config:
    return dataclasses.replace(config, frames=3751, size=(128, 3744))


@register("spectttra-alpha-120s", system="spectttra", parameters=18_679_693, note="1,376 tokens")
def alpha_120s() -> Config:
    return _long(alpha_5s())


@register("spectttra-beta-120s", system="spectttra", parameters=21_428_365, note="790 tokens")
def beta_120s() -> Config:
    return _long(beta_5s())


@register("spectttra-gamma-120s", system="spectttra", parameters=24_313_357, note="559 tokens")
def gamma_120s() -> Config:
    return _long(gamma_5s())


@register("spectttra-vit-5s", system="spectttra", parameters=16_688_653, note="baseline: ViT")
def vit_5s() -> Config:
    return Config(kind="vit")


@register("spectttra-vit-120s", system="spectttra", note="baseline: ViT, 1,872 tokens")
def vit_120s() -> Config:
    return _long(vit_5s())


@register("spectttra-convnext-5s", system="spectttra", note="baseline: ConvNeXt-T")
def convnext_5s() -> Config:
    return Config(kind="convnext", width=768)


@register("spectttra-convnext-120s", system="spectttra", note="baseline: ConvNeXt-T")
def convnext_120s() -> Config:
    return _long(convnext_5s())


# the count is that of timm's efficientvit_b2 for one channel, without classes, and one logit


@register(
    "spectttra-efficientvit-5s",
    system="spectttra",
    parameters=21_771_841,
    note="baseline: EfficientViT-B2",
)
def efficientvit_5s() -> Config:
    return Config(kind="efficientvit", stages=(1, 3, 4, 4, 6))


@register(
    "spectttra-efficientvit-120s",
    system="spectttra",
    parameters=21_771_841,
    note="baseline: EfficientViT-B2",
)
def efficientvit_120s() -> Config:
    return _long(efficientvit_5s())


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Tells recorded songs from generated ones, up to two minutes at once.",
    use=(
        "Published SONICS weights at hand: `sonograph.load` opens the official .bin files, "
        "`sonograph tag` says real or synthetic with a score.",
        "Long clips at little cost: tokens of whole columns and whole rows instead of squares.",
        "Labelled songs of your own: `sonograph train PRESET --data songs.csv --set task=NAME`, "
        "where the classes of NAME are real and synthetic.",
    ),
    avoid=(
        "Generators that came after Suno 3.5 and Udio 130, on which it was trained: their songs "
        "may pass for real.",
        "Speech, or music without voices: it was trained on songs.",
        "Without its weights: a preset alone is untrained and guesses.",
        "Trained without labels, as `sonograph train` does by itself, it knows recordings from the "
        "same ones sent through Griffin-Lim, Opus, MP3 or Vorbis at low rates: no songs of Suno or "
        "Udio, nor anything else that generates.",
    ),
    paper="Md Awsafur Rahman, Zaber Ibn Abdul Hakim, Najibul Haque Sarker, Bishmoy Paul, Shaikh "
    "Anowarul Fattah, ICLR 2025",
    figures=(
        "5 s: F1 0.78 (alpha), 0.78 (beta), 0.76 (gamma)",
        "120 s: F1 0.97 (alpha), 0.92 (beta), 0.88 (gamma)",
        "120 s, alpha, against ViT: F1 + 8 %, 38 % faster, 26 % less memory",
        "120 s, alpha, against ConvNeXt: F1 + 1 %, 20 % faster, 67 % less memory",
    ),
    code_licence="MIT",
    weights_licence="published with the code; trained on SONICS (CC BY-NC 4.0)",
    deviations=(
        "`top_db` is taken from each clip's own loudest value; `published_features` takes it from "
        "the batch, as the official code does.",
        "A clip shorter than the model's length is filled up with the mean of its features, after "
        "they were normalised; the official code adds silence before.",
        "Sounds longer than the model's length are heard in windows that overlap by half, and the "
        "answers averaged; the official evaluation takes one crop.",
        "`refit` stretches SpecTTTra's weights to another length: ours, to be fine-tuned after.",
        "ConvNeXt-T and EfficientViT-B2 take one channel; what timm, whose models the paper took, "
        "names their weights is not mapped. The claims are beside ViT and ConvNeXt alone.",
        "The songs of SONICS cannot be had freely: without labels the recipe makes synthetic sound "
        "itself, by Griffin-Lim and codecs. The claim about F1 is of that, not of songs; there "
        "always answering synthetic has an F1 of 2/3, so read it beside the accuracy.",
        "The recipe's epochs are of 70 % of the 97,000 songs, its batches on 120 s 128 where the "
        "paper has 96 to 128, its warm-up starts at 0 instead of 1e-6, its precision is bf16, and "
        "its filter for songs with vocals is left to the data.",
        "Activation memory is counted as bytes kept for the backward pass; which memory the paper "
        "measures is not said.",
        "The presets `spectttra-test`, `spectttra-mini` and `spectttra-vit-mini` are ours, and so "
        "is their recipe: 2 s, 600 updates.",
    ),
    faults=(
        "The features of a clip depend on the loudest clip of its batch.",
        "Rows and columns that are left over at the end of the map are not seen.",
        "The configuration key `normalize: true` is not read; the min-max normaliser has minimum "
        "and maximum swapped.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("sonics",),
    checks=("tests/parity/test_spectttra_transformers.py",),
)
