"""Never Train from Scratch: pre-train on the task's own inputs, with the label left out.

For whoever compares architectures on long sequences, or has a task and no other data: hide half of
the training inputs, learn to fill them in, then fine-tune on the same inputs. A protocol, and the
encoders that it was shown on: Transformers (full and windowed), diagonal state spaces, and Mamba
beside them. Amos, Berant and Gupta, "Never Train from Scratch: Fair Comparison of Long-Sequence
Models Requires Data-Driven Priors", ICLR 2024.

Published: self-pre-trained, a plain Transformer matches S4 on the Long Range Arena (average about
86 with rotary positions, 54 without both), and S4 gains 20 points on PathX-256.

Shapes: features (b, rows, n) -> tokens (b, n, d), one for each place of a sequence: a sample of a
waveform, a pixel, a token id (rows = 1), or a frame of a spectrogram (rows = bins).

Ours: a hidden input is the value 0 with its flag set, so that all hidden ones are one vector (the
flag's column plus the bias); that vector is learned itself (`Pretraining.hidden`), the encoder has
no flag column, and any encoder of the house can be pre-trained this way. Padding is masked (and
batch norm counts a clip's own tokens alone). Token ids have an embedding and fixed sinusoids; the
masked one is not in the vocabulary but that same vector.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec, waveform_spec
from sonograph.errors import InputError
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.hiding import Hiding, filler_size, patch_of
from sonograph.nn.mamba import Mamba
from sonograph.nn.s4d import DiagonalSpace, Discretise, Start
from sonograph.nn.scan import Order
from sonograph.nn.sinusoids import sinusoids
from sonograph.nn.transformer import Feedforward
from sonograph.nn.window_attention import Sees, SequenceAttention
from sonograph.registry import About, register
from sonograph.weights import rename


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes are those of the Image Transformer of the Long Range Arena."""

    mixer: Literal["attention", "space", "mamba"] = "attention"
    width: int = 64
    depth: int = 3
    sees: Sees = "both"  # "past": no place sees a later one
    norm: Literal["layer", "batch"] = "layer"
    order: Literal["pre", "post"] = "pre"  # of norm and residual part
    dropout: float = 0.0
    num_heads: int = 4
    expand: int = 2  # attention: of the feed-forward part; mamba: channels for each of the width
    window: int = 0  # attention: tokens of a window that sees its neighbours; 0: all see all
    positions: Literal["none", "learned", "sinusoids", "rotary"] = "none"  # rotary: of attention
    states: int = 64  # space: real numbers of a channel, half of them complex; mamba: 16
    groups: int = 0  # space: sets of A and B that channels share; 0: one for each channel
    discretise: Discretise = "bilinear"
    source: Literal["ones", "learned"] = "learned"  # space: B
    start: Start = "linear"
    steps: tuple[float, float] = (1e-3, 0.1)
    vocabulary: int = 0  # the inputs are so many token ids; 0: they are values
    frames: int = 1024  # the longest input, of learned positions and of windows in use
    mask_share: float = 0.5  # of the places, each by itself
    mask_span: int = 1  # places that are hidden together
    # "value": mean absolute error; "level": cross-entropy over 256 levels from -1 to 1; token ids
    # are classes anyway; "next": the value, level or id that follows, nothing is hidden
    objective: Literal["value", "level", "next value", "next level"] = "value"
    features: FeatureSpec = waveform_spec(16_000)

    @property
    def patch(self) -> tuple[int, int]:
        return self.features.rows, 1


LEVELS = 256


# --- blocks --------------------------------------------------------------------------------------


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm of (b, n, d) over clips and places; in training over the masked-in ones alone."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        if mask is None or not self.training:
            return super().forward(x.flatten(0, 1)).view_as(x)
        return x.masked_scatter(mask[..., None], super().forward(x[mask]))


class Residual(nn.Module):
    """One residual part, normalised before or after: (b, n, d) -> the same.

    The part goes by the name of its kind ("attention", "feedforward", "space", "mamba"), so that
    adapters find the attention.
    """

    def __init__(self, kind: str, part: nn.Module, norm: nn.Module, order: str, dropout: float):
        super().__init__()
        self.kind, self.order = kind, order
        self.add_module(kind, part)
        self.norm = norm
        # a state space goes without a channel for the whole sequence (as published), others
        # without single numbers
        self.tied = kind == "space"
        self.drop: nn.Module = nn.Dropout1d(dropout) if self.tied else nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        part = self.get_submodule(self.kind)
        y = self._normed(x, mask) if self.order == "pre" else x
        y = part(y) if self.kind == "feedforward" else part(y, mask)
        y = self.drop(y.transpose(1, 2)).transpose(1, 2) if self.tied else self.drop(y)
        return x + y if self.order == "pre" else self._normed(x + y, mask)

    def _normed(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.norm(x, mask) if isinstance(self.norm, TokenBatchNorm) else self.norm(x)


def _norm(config: Config) -> nn.Module:
    kind = nn.LayerNorm if config.norm == "layer" else TokenBatchNorm
    return kind(config.width)


def _parts(config: Config) -> list[tuple[str, nn.Module]]:
    """The residual parts of one layer."""
    if config.mixer == "attention":
        rotary: Literal["none", "rotary"] = "rotary" if config.positions == "rotary" else "none"
        attention = SequenceAttention(
            config.width, config.num_heads, config.window, rotary, config.sees
        )
        feedforward = Feedforward(config.width, config.expand * config.width)
        return [("attention", attention), ("feedforward", feedforward)]
    if config.mixer == "space":
        space = DiagonalSpace(
            config.width,
            config.states,
            config.groups,
            config.sees,
            config.discretise,
            config.source,
            config.start,
            config.steps,
            config.dropout,
        )
        return [("space", space)]
    ways: tuple[Order, Order] = ("forward", "backward")
    directions = ways if config.sees == "both" else ways[:1]
    return [("mamba", Mamba(config.width, directions, config.states, config.expand))]


# --- model ---------------------------------------------------------------------------------------


class SequenceEncoder(nn.Module, Embeds):
    """The encoder: a linear map or an embedding of each place, residual parts, a last norm.

    features (b, rows, n) values, or ids with rows = 1; lengths (b,) or None -> Tokens with grid
    (1, n). What lies beyond a clip's length is never looked at. Raises InputError for other rows,
    for ids outside the vocabulary, and for more places than learned positions.

    >>> encoder = SequenceEncoder(test())
    >>> encoder(torch.zeros(2, 1, 90)).values.shape
    torch.Size([2, 90, 48])
    """

    def __init__(self, config: Config):
        super().__init__()
        if config.positions == "rotary" and config.mixer != "attention":
            raise InputError(f"rotary positions turn queries: {config.mixer!r} has none")
        if config.vocabulary and config.features.rows != 1:
            raise InputError(f"token ids are one row of features, not {config.features.rows}")
        self.config = config
        self.spec, self.width, self.grid = config.features, config.width, (1, config.frames)
        self.project: nn.Module = (
            nn.Embedding(config.vocabulary, config.width)
            if config.vocabulary
            else nn.Linear(config.features.rows, config.width)
        )
        self.positions: nn.Parameter | None = None
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(config.frames, config.width))
            nn.init.trunc_normal_(self.positions, std=0.02)
        self.layers = nn.ModuleList(
            Residual(kind, part, _norm(config), config.order, config.dropout)
            for _ in range(config.depth)
            for kind, part in _parts(config)
        )
        self.norm = _norm(config) if config.order == "pre" else None

    def forward(
        self, features: Float[Tensor, "b rows n"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        return self.encode(self.patch_tokens(features, lengths))

    def patch_tokens(
        self, features: Float[Tensor, "b rows n"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        """One token for each place, before positions: what an objective may hide."""
        rows, n = features.shape[1:]
        if rows != self.spec.rows:
            raise InputError(f"this model takes {self.spec.rows} rows, not {rows}")
        if self.positions is not None and n > self.config.frames:
            raise InputError(
                f"{n} places are more than the {self.config.frames} this model has positions for: "
                'cut the input, or build it with positions "rotary"'
            )
        mask = None
        if lengths is not None and bool((lengths < n).any()):
            mask = torch.arange(n, device=features.device) < lengths.clamp(min=1)[:, None]
        if not self.config.vocabulary:
            return Tokens(self.project(features.transpose(1, 2)), mask, (1, n))
        ids = features[:, 0].long()
        if mask is not None:
            ids = ids * mask
        if bool(((ids < 0) | (ids >= self.config.vocabulary)).any()):
            raise InputError(f"a token id is not among the {self.config.vocabulary} of this model")
        return Tokens(self.project(ids), mask, (1, n))

    def encode(self, tokens: Tokens) -> Tokens:
        """Positions, layers, and the last norm (where norms come first)."""
        x, mask = tokens.values, tokens.mask
        if self.positions is not None:
            x = x + self.positions[: x.shape[1]]
        elif self.config.positions == "sinusoids":
            x = x + torch.as_tensor(sinusoids(x.shape[1], self.width)).to(x)
        for layer in self.layers:
            x = layer(x, mask)
        if self.norm is not None:
            x = self.norm(x, mask) if isinstance(self.norm, TokenBatchNorm) else self.norm(x)
        return dataclasses.replace(tokens, values=x)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "self_pretraining", "config": self.config.to_dict()}


def build(config: Config) -> SequenceEncoder:
    return SequenceEncoder(config)


# --- objective -----------------------------------------------------------------------------------


class Pretraining(nn.Module):
    """Denoising on any encoder: hide places, tell what was there; the loss is of these alone.

    Sequence encoders say by their config how much is hidden and what is told; of others, half of
    the parts (tokens, or stretches as long as a token) are hidden and their values told, by mean
    absolute error. Sections 3 and 4 of the paper.
    """

    def __init__(self, encoder: Any):
        super().__init__()
        rows, frames = patch_of(encoder)
        own = encoder.config if isinstance(encoder.config, Config) else None
        objective = own.objective if own else "value"
        if own and objective.startswith("next") and own.sees != "past":
            raise InputError(f'objective {objective!r} needs an encoder that sees "past" alone')
        self.encoder = encoder
        self.next = objective.startswith("next")
        self.share = own.mask_share if own else 0.5
        self.span = own.mask_span if own else 1
        self.classes = LEVELS * rows * frames if objective.endswith("level") else 0
        if own and own.vocabulary:
            self.classes = own.vocabulary
        elif self.classes > LEVELS:
            raise InputError(f"levels are told of one row, not of {rows}: objective 'value'")
        if not self.next:
            self.hidden = nn.Parameter(torch.empty(1, 1, filler_size(encoder)))
            nn.init.uniform_(self.hidden, -(2**-0.5), 2**-0.5)  # a linear map's of two inputs
        self.decode = nn.Linear(encoder.width, self.classes or rows * frames)

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def draw_mask(
        self, valid: Bool[Tensor, "b n"], generator: torch.Generator
    ) -> Bool[Tensor, "b n"]:
        """Each place (or span of places) by itself with the same chance; one of a clip at least."""
        batch, n = valid.shape
        draw = torch.rand((batch, -(-n // self.span)), generator=generator).to(valid.device)
        draw = draw.repeat_interleave(self.span, 1)[:, :n].masked_fill(~valid, 2.0)
        return ((draw < self.share) | (draw == draw.amin(1, keepdim=True))) & valid

    def targets(self, clips: Hiding) -> Tensor:
        """What each place holds: values (b, n, pixels), or classes (b, n)."""
        values = clips.targets()
        if not self.classes:
            return values
        if getattr(self.encoder.config, "vocabulary", 0):
            return values[..., 0].long()
        return ((values[..., 0] + 1) / 2 * (LEVELS - 1)).round().clamp(0, LEVELS - 1).long()

    def predict(self, clips: Hiding, hidden: Bool[Tensor, "b n"]) -> Float[Tensor, "b n outputs"]:
        """What is told of every place, those that are not hidden too."""
        if self.next:
            assert clips.tokens is not None
            return self.decode(self.encoder.encode(clips.tokens).values)
        return self.decode(clips.encode(hidden, self.hidden))

    def forward(
        self,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The loss, and how often a class was right where classes are told."""
        clips = Hiding(self.encoder, features, lengths)
        targets = self.targets(clips)
        if self.next:  # place k tells place k + 1
            told = clips.valid[:, 1:]
            prediction, targets = self.predict(clips, clips.valid)[:, :-1], targets[:, 1:]
        else:
            told = self.draw_mask(clips.valid, generator)
            prediction = self.predict(clips, told)
        return self.loss(prediction[told].float(), targets[told])

    def loss(self, prediction: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Of the places that were hidden: (places, outputs) against what they hold."""
        if not self.classes:
            return {"loss": (prediction - targets.float()).abs().mean()}
        right = (prediction.argmax(-1) == targets).float().mean()
        return {"loss": cross_entropy(prediction, targets), "accuracy": right}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        encoder = self.encoder.describe()
        return {"kind": "pretraining", "system": "self_pretraining", "encoder": encoder}


# --- published weights ---------------------------------------------------------------------------

_LAYER, _OURS = "model.layers.{}.", "encoder.layers.{}."
_KERNEL = {"C": "out", "log_dt": "log_step", "B": "into", "A_imag": "frequency"}
_KERNEL |= {"inv_A_real": "log_decay", "log_A_real": "log_decay"}
# published name, our name, once queries, keys and values are joined and the input map is divided
_NAMES = (
    (_LAYER + "layer.qkv.{}", _OURS + "attention.qkv.{}"),
    (_LAYER + "layer.linears.3.{}", _OURS + "attention.project.{}"),
    (_LAYER + "layer.ff.0.0.{}", _OURS + "feedforward.expand.{}"),
    (_LAYER + "layer.ff.2.{}", _OURS + "feedforward.contract.{}"),
    (_LAYER + "layer.D", _OURS + "space.skip"),
    *(
        (f"{_LAYER}layer.kernel.{inner}{theirs}", f"{_OURS}space.kernel.{ours}")
        for inner in ("", "kernel.")
        for theirs, ours in _KERNEL.items()
    ),
    (_LAYER + "layer.output_linear.0.{}", _OURS + "space.mix.{}"),
    (_LAYER + "norm.norm.{}", _OURS + "norm.{}"),
    ("model.norm.norm.{}", "encoder.norm.{}"),
    ("encoder.weight", "encoder.project.weight"),
    ("encoder.bias", "encoder.project.bias"),
    ("hidden", "hidden"),
    ("decoder.{}", "decode.{}"),
)


def is_published(names: Mapping[str, Any]) -> bool:
    """Whether these are the keys of an official file."""
    return "encoder.weight" in names and any(
        re.fullmatch(r"model\.layers\.0\.layer\.(linears\.0\.weight|D)", name) for name in names
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> ours: `encoder.*`, and `hidden` and `decode.*` of a pre-trained file.

    The last column of the input map is the flag of hidden inputs: what it adds to the bias is
    `hidden`. Fine-tuning cuts that column off, as the official code does.
    """
    joined = dict(state)
    for name in state:
        if found := re.fullmatch(r"(.*\.layer\.)linears\.0\.(weight|bias)", name):
            parts = [joined.pop(f"{found[1]}linears.{k}.{found[2]}") for k in range(3)]
            joined[f"{found[1]}qkv.{found[2]}"] = torch.cat(parts)
    if "decoder.weight" in joined and joined["encoder.weight"].shape[1] > 1:
        flag = joined["encoder.weight"][:, -1]
        joined["hidden"] = (flag + joined["encoder.bias"])[None, None]
        joined["encoder.weight"] = joined["encoder.weight"][:, :-1]
    ours = rename(joined, _NAMES)
    for name, value in ours.items():
        if name.endswith("space.skip"):
            ours[name] = value.flatten()
        elif name.endswith("kernel.out") and value.ndim == 3:  # of the standalone layer
            ours[name] = value[None]
        elif name.endswith("space.mix.weight"):
            ours[name] = value.flatten(1)
    return ours


def config_from_published(state: Mapping[str, Tensor]) -> Config:
    """The configuration of an official file, read from its shapes.

    Heads, windows and rotary positions are in no file: they are those of the published preset of
    this shape; raises InputError where there is none.
    """
    ours = from_published(state)
    depth = 1 + max(int(name.split(".")[2]) for name in ours if name.startswith("encoder.layers."))
    config = Config(
        width=ours["encoder.project.bias"].shape[0],
        depth=depth,
        norm="batch" if "encoder.layers.0.norm.running_mean" in ours else "layer",
        order="pre" if "encoder.norm.weight" in ours else "post",
    )
    if "encoder.layers.0.space.skip" in ours:
        out = ours["encoder.layers.0.space.kernel.out"]
        learned = "encoder.layers.0.space.kernel.into" in ours
        return dataclasses.replace(
            config,
            mixer="space",
            states=2 * out.shape[2],
            sees="both" if len(out) == 2 else "past",
            groups=ours["encoder.layers.0.space.kernel.log_decay"].shape[0] % out.shape[1],
            discretise="bilinear" if learned else "zoh",
            source="learned" if learned else "ones",
        )
    expand = ours["encoder.layers.1.feedforward.expand.weight"].shape[0] // config.width
    for known in (image(), pathfinder(), pathx_256(), retrieval()):
        if (known.width, known.depth, known.expand) == (config.width, depth // 2, expand):
            return dataclasses.replace(known, objective="value")
    raise InputError(
        f"no published Transformer has {depth // 2} layers of width {config.width} with "
        f"feed-forward parts of {expand}: heads cannot be told"
    )


def load_published(state: Mapping[str, Tensor]) -> nn.Module:
    """An official file as a model: with its decoder if it has one, else the encoder."""
    ours, encoder = from_published(state), SequenceEncoder(config_from_published(state))
    if "hidden" in ours:
        model = Pretraining(encoder)
        model.load_state_dict(ours)
        return model
    encoder.load_state_dict({n.removeprefix("encoder."): ours[n] for n in ours if n[:3] == "enc"})
    return encoder


# --- presets -------------------------------------------------------------------------------------

# The Transformers count as published without the map of the inputs: 2 d numbers more here, or an
# embedding. Of the state spaces no count is published; theirs have the diagonal form, see ABOUT.


@register("self-pretraining-test", system="self_pretraining", note="for tests: few parameters")
def test() -> Config:
    spec = waveform_spec(500)
    return Config(width=48, depth=2, positions="rotary", frames=200, features=spec)


@register("self-pretraining-transformer", system="self_pretraining", note="the claim's, rotary")
def transformer() -> Config:
    return Config(width=32, depth=2, num_heads=2, positions="rotary", frames=256)


@register("self-pretraining-s4d", system="self_pretraining", note="the claim's, both directions")
def s4d() -> Config:
    return Config(mixer="space", width=32, depth=2, states=32, frames=256)


@register("self-pretraining-mamba", system="self_pretraining", note="the claim's, both directions")
def mamba() -> Config:
    return Config(mixer="mamba", width=32, depth=2, states=4, expand=1, frames=256)


@register("self-pretraining-image", system="self_pretraining", parameters=100_672, note="LRA")
def image() -> Config:
    return Config()


@register("self-pretraining-pathfinder", system="self_pretraining", parameters=398_848, note="LRA")
def pathfinder() -> Config:
    return Config(width=128, depth=4, num_heads=8, expand=1, objective="level")


@register("self-pretraining-pathx", system="self_pretraining", parameters=398_848, note="PathX-128")
def pathx() -> Config:
    return dataclasses.replace(pathfinder(), num_heads=4, window=4096, frames=16_384)


@register(
    "self-pretraining-pathx-256", system="self_pretraining", parameters=1_586_688, note="PathX-256"
)
def pathx_256() -> Config:
    return dataclasses.replace(pathx(), depth=8, expand=4, window=8192, frames=65_536)


@register("self-pretraining-listops", system="self_pretraining", parameters=18_923_520, note="LRA")
def listops() -> Config:
    return Config(
        width=512,
        depth=6,
        num_heads=8,
        expand=4,
        positions="sinusoids",
        vocabulary=16,
        frames=2048,
    )


@register("self-pretraining-text", system="self_pretraining", parameters=19_046_400, note="IMDB")
def text() -> Config:
    return dataclasses.replace(listops(), vocabulary=256, frames=4096, mask_share=0.15)


@register("self-pretraining-retrieval", system="self_pretraining", parameters=826_112, note="AAN")
def retrieval() -> Config:
    config = dataclasses.replace(text(), width=128, depth=4, num_heads=4, frames=4000)
    return dataclasses.replace(config, mask_share=0.15)


@register(
    "self-pretraining-speech", system="self_pretraining", parameters=398_848, note="one second"
)
def speech() -> Config:
    return dataclasses.replace(
        pathx(), window=4000, positions="rotary", frames=16_000, objective="value"
    )


@register("self-pretraining-image-s4", system="self_pretraining", note="LRA, as S4D-LegS")
def image_s4() -> Config:
    return Config(
        mixer="space", width=512, depth=6, groups=2, order="post", dropout=0.1, start="legs"
    )


@register("self-pretraining-pathx-s4", system="self_pretraining", note="PathX-128, as S4D-LegS")
def pathx_s4() -> Config:
    return Config(
        mixer="space",
        width=256,
        depth=6,
        norm="batch",
        start="legs",
        steps=(1e-4, 0.1),
        objective="level",
        frames=16_384,
    )


@register("self-pretraining-speech-s4", system="self_pretraining", note="one second, as S4D-LegS")
def speech_s4() -> Config:
    return Config(
        mixer="space", width=128, depth=6, groups=64, norm="batch", start="legs", frames=16_000
    )


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Learns to fill in the hidden half of a task's own inputs, then the task itself.",
    use=(
        "A task with some labelled data and nothing else: the same data serves twice.",
        "Architectures are compared on long sequences: from scratch the comparison is not fair.",
        "Your own recordings are unlike what published encoders heard: `Pretraining` takes any "
        "encoder of the house.",
        "Blocks alone: `nn.s4d`, `nn.window_attention` and `nn.rotary` are used by themselves.",
    ),
    avoid=(
        "Every sample is a token: a second of speech is 16,000 of them. Encoders of spectrograms "
        "(SSAST, SSAMBA, TERA) learn more in the same time on a CPU.",
        "PathX and the full Long Range Arena take a GPU for hours to days; presets and tasks of "
        "their sizes are here, results are not.",
        "There is much unlabelled sound of the kind: pre-train on all of it, not on the task's.",
    ),
    paper="Ido Amos, Jonathan Berant, Ankit Gupta, ICLR 2024",
    figures=(
        "Long Range Arena, average: Transformer 53.7 from scratch, about 86 self-pre-trained with "
        "rotary positions; S4 86.1 from scratch, slightly more self-pre-trained",
        "PathX-256: S4 about 68 from scratch, about 87 self-pre-trained",
    ),
    code_licence="MIT",
    weights_licence="none published",
    deviations=(
        "A hidden input is one learned vector instead of a second input channel: the same map, "
        "without the column that fine-tuning cuts off.",
        "The state spaces are diagonal (S4D, as the official configurable layer in its diagonal "
        "mode, and the standalone layer); the published S4 arms have the low-rank term (NPLR).",
        "Padding changes nothing: official models take inputs of one length.",
        "Inputs of any length with windows of attention: the last window is filled up.",
        "The head of fine-tuning is the house's: the mean of all tokens, a norm, a linear map "
        "(official: mean or maximum, for images a small network).",
        "Positions of token tasks are fixed sinusoids without dropout; the vocabulary has no entry "
        "for the mask. Sizes of vocabularies are ours.",
        "DLR, MEGA and the fine-tuning of Pythia, which the official code has too, are not here.",
        "Mamba is beside the paper.",
    ),
    faults=(
        "The shipped rate of the token tasks (0.05) belongs to another scale of rates; ours is "
        "that of the other tasks.",
        "Rotary positions are off in the shipped Long Range Arena configurations, though the "
        "headline of the paper has them.",
        "Windows of attention ask for a multiple of their size; pykeops is imported without need.",
        "Padding is not hidden from attention.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("never_train_from_scratch",),
    checks=("tests/parity/test_self_pretraining_peers.py",),
)
