"""The encoders: a token for each place of a sequence; attention, state spaces or Mamba mix them."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec, waveform_spec
from sonograph.errors import InputError
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.mamba import Mamba
from sonograph.nn.s4 import LowRankKernel
from sonograph.nn.s4d import DiagonalKernel, Discretise, Start, StateSpace
from sonograph.nn.scan import Order
from sonograph.nn.sinusoids import sinusoids
from sonograph.nn.transformer import Feedforward
from sonograph.nn.window_attention import Sees, SequenceAttention


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
    # space: "diagonal" (S4D), or diagonal plus a rank one that starts as HiPPO-LegS (S4), which is
    # bilinear, learns B, and takes at most `frames` places
    form: Literal["diagonal", "nplr"] = "diagonal"
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
    # what a place is; values of pictures and token ids are one row, too, and nobody asks the rate
    features: FeatureSpec = waveform_spec(16_000)

    @property
    def patch(self) -> tuple[int, int]:
        return self.features.rows, 1


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


def _kernel(config: Config) -> nn.Module:
    """The kernels of one layer of state spaces."""
    width, states, groups, steps = config.width, config.states, config.groups, config.steps
    directions = 2 if config.sees == "both" else 1
    if config.form == "nplr":
        return LowRankKernel(width, config.frames, states, groups, directions, steps)
    return DiagonalKernel(
        width, states, groups, directions, config.discretise, config.source, config.start, steps
    )


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
        return [("space", StateSpace(config.width, _kernel(config), config.dropout))]
    ways: tuple[Order, Order] = ("forward", "backward")
    directions = ways if config.sees == "both" else ways[:1]
    return [("mamba", Mamba(config.width, directions, config.states, config.expand))]


# --- model ---------------------------------------------------------------------------------------


class SequenceEncoder(nn.Module, Embeds):
    """The encoder: a linear map or an embedding of each place, residual parts, a last norm.

    features (b, rows, n) values, or ids with rows = 1; lengths (b,) or None -> Tokens with grid
    (1, n). What lies beyond a clip's length is never looked at. Raises InputError for other rows,
    for ids outside the vocabulary, and for more places than learned positions.

    >>> encoder = SequenceEncoder(Config(width=48))
    >>> encoder(torch.zeros(2, 1, 90)).values.shape
    torch.Size([2, 90, 48])
    """

    def __init__(self, config: Config):
        super().__init__()
        if config.positions == "rotary" and config.mixer != "attention":
            raise InputError(f"rotary positions turn queries: {config.mixer!r} has none")
        if config.form == "nplr" and (config.discretise, config.source) != ("bilinear", "learned"):
            raise InputError('the form "nplr" is bilinear and learns B: leave both as they are')
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
        if self.config.mixer == "space" and self.config.form == "nplr" and n > self.config.frames:
            raise InputError(
                f"{n} places are more than the {self.config.frames} this model's kernels are of: "
                f"cut the input, or carry the weights to it with `refit(encoder, frames={n})`"
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
