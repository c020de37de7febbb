"""BEATs' encoder, its configuration, and the encoder with a head."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.conv_positions import ConvPositions
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.gated_bias import Arrangement, GatedTransformer
from sonograph.nn.heads import Answer, Tagging
from sonograph.nn.patches import patch_grid, patchify

FEATURES = FeatureSpec(
    window="povey",
    waveform_scale=32768.0,
    clip_mean="keep",
    mean=15.41663,
    deviation=13.11164,  # twice the standard deviation
)


@dataclasses.dataclass(frozen=True)
class Config(configuration.Config):
    """Sizes are those of every published model."""

    form: Literal["encoder", "tagger", "tokenizer"] = "encoder"
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    hidden: int = 3072  # of the feed-forward layers
    patch: tuple[int, int] = (16, 16)  # (bins, frames)
    patch_width: int = 512
    patch_bias: Literal["none", "learned"] = "none"
    position_kernel: int = 128  # tokens
    position_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 800  # tokens
    arrangement: Arrangement = "deep"
    dropout: float = 0.0
    frames: int = 1024  # window of inference; longer inputs are taken too
    labels: tuple[str, ...] = ()  # of a tagger
    codes: int = 1024
    code_width: int = 256
    estimator_depth: int = 3  # of the tokenizer's estimator, training only
    predictor_depth: int = 3  # of the label predictor, training only
    # what teaches the encoder: a tokenizer's labels, or the patches themselves to be painted
    targets: Literal["random", "distilled", "patches"] = "random"
    mask_share: float = 0.75
    label_smoothing: float = 0.1
    commitment: float = 1.0  # weight of the tokenizer's commitment loss
    compat: Literal["none", "published"] = "none"  # "published": the official padding mask
    features: FeatureSpec = FEATURES

    def __post_init__(self) -> None:
        if (self.form == "tagger") != bool(self.labels):
            raise InputError(
                f"BEATs: a {self.form} with {len(self.labels)} labels: a tagger has some"
            )
        if not 0 < self.mask_share < 1:
            raise InputError(
                f"BEATs: mask_share is {self.mask_share}: give a share between 0 and 1"
            )

    @property
    def grid(self) -> tuple[int, int]:
        return patch_grid((self.features.rows, self.frames), self.patch, self.patch)


def time_major(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """(b, rows * columns, ...) in the order of the house -> BEATs' order, column after column."""
    return rearrange(x, "b (f t) ... -> b (t f) ...", f=grid[0])


def frequency_major(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """The inverse of `time_major`."""
    return rearrange(x, "b (t f) ... -> b (f t) ...", f=grid[0])


class PatchProjection(nn.Module):
    """The pixels of each patch to a vector: (b, bins, frames) -> (b, rows * columns, width).

    The weight lies as the published one does, (width, 1, frames, bins); frequency-major out.
    """

    def __init__(self, width: int, patch: tuple[int, int], bias: Literal["none", "learned"]):
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.empty(width, 1, patch[1], patch[0]))
        nn.init.xavier_normal_(self.weight)
        self.bias = nn.Parameter(torch.zeros(width)) if bias == "learned" else None

    def forward(self, features: Float[Tensor, "b bins frames"]) -> Float[Tensor, "b n d"]:
        weight = self.weight.transpose(2, 3).flatten(1)  # to bins before frames, as pixels lie
        return linear(patchify(features, self.patch), weight, self.bias)


class BEATs(nn.Module, Embeds):
    """The encoder: patches, convolutional positions, a transformer with gated relative biases.

    features (b, bins, frames), lengths (b,) in frames or None -> Tokens in frequency-major order.
    Inside, tokens run in time-major order: positions and distances are counted along that. A patch
    is valid where all of its frames are; what lies beyond is never looked at. Of any length.

    >>> from sonograph.systems.represent import beats
    >>> BEATs(beats.test())(torch.zeros(2, 128, 64)).values.shape
    torch.Size([2, 32, 48])
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.spec, self.width, self.grid = config.features, config.width, config.grid
        self.padding = -self.spec.mean / self.spec.deviation  # what raw 0 becomes
        self.patches = PatchProjection(config.patch_width, config.patch, config.patch_bias)
        self.patch_norm = nn.LayerNorm(config.patch_width)
        self.project = nn.Linear(config.patch_width, config.width)
        self.positions = ConvPositions(config.width, config.position_kernel, config.position_groups)
        self.norm = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        self.transformer = GatedTransformer(
            config.width,
            config.depth,
            config.num_heads,
            config.hidden,
            config.num_buckets,
            config.max_distance,
            config.arrangement,
            dropout=config.dropout,
        )

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        return self.encode(self.patch_tokens(features, lengths))

    def patch_tokens(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        """Projected patches, before positions: what an objective may hide."""
        features, mask, grid = self.prepare(features, lengths)
        return Tokens(self.project(self.patch_norm(self.patches(features))), mask, grid)

    def prepare(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None
    ) -> tuple[Float[Tensor, "b bins frames"], Bool[Tensor, "b n"] | None, tuple[int, int]]:
        """(features of whole patches, padding replaced; which patches are valid; grid)."""
        (bins, frames), width = features.shape[1:], self.config.patch[1]
        if bins != self.spec.rows:
            raise InputError(f"this model takes {self.spec.rows} bins, not {bins}")
        if frames < width:  # less than one patch: fill up with what padding is made of
            features = nn.functional.pad(features, (0, width - frames), value=self.padding)
        grid = patch_grid((bins, features.shape[2]), self.config.patch, self.config.patch)
        if lengths is None or not bool((lengths < frames).any()):
            return features, None, grid
        if self.config.compat == "published":
            mask = published_mask(lengths, features.shape[2], grid[0] * grid[1])
            return features, frequency_major(mask, grid), grid
        beyond = torch.arange(features.shape[2], device=features.device) >= lengths[:, None]
        features = features.masked_fill(beyond[:, None], self.padding)
        columns = lengths.div(width, rounding_mode="floor").clamp(min=1)
        within = torch.arange(grid[1], device=features.device) < columns[:, None]
        return features, within[:, None].expand(-1, grid[0], -1).flatten(1), grid

    def encode(self, tokens: Tokens) -> Tokens:
        """Positions and transformer; takes and gives frequency-major order."""
        mask = None if tokens.mask is None else time_major(tokens.mask, tokens.grid)
        values = self.transform(time_major(tokens.values, tokens.grid), mask)
        return Tokens(frequency_major(values, tokens.grid), tokens.mask, tokens.grid)

    def encode_kept(self, tokens: Tokens, hidden: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Encode only what is not hidden, as one shorter sequence; zeros where it is.

        The way of masked autoencoders: positions and distances are those of the shorter sequence.
        """
        kept = ~hidden if tokens.mask is None else tokens.mask & ~hidden
        kept = time_major(kept, tokens.grid)
        values = time_major(tokens.values, tokens.grid)
        counts = kept.sum(1)
        most = max(int(counts.max()), 1)
        order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, :most, None]
        order = order.expand(-1, -1, values.shape[2])
        mask = torch.arange(most, device=kept.device) < counts.clamp(min=1)[:, None]
        seen = self.transform(values.gather(1, order), None if bool(mask.all()) else mask)
        whole = seen.new_zeros(values.shape).scatter(1, order, seen)
        return frequency_major(whole * kept[..., None], tokens.grid)

    def transform(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b n d"]:
        """Tokens in time-major order through positions, norm and blocks."""
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)  # the convolution sees it as it sees the ends
        x = x + self.positions(x)
        if self.config.arrangement == "pre":
            return self.norm(self.transformer(self.drop(x), mask))
        return self.transformer(self.drop(self.norm(x)), mask)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "beats", "config": self.config.to_dict()}


def published_mask(lengths: Int[Tensor, "b"], size: int, parts: int) -> Bool[Tensor, "b parts"]:
    """Which of `parts` are valid, as the official code finds it, approximately.

    It drops `size % parts` places from the end and cuts the rest into equal runs; a part is padding
    where all of its run is. So samples become frames, and frames tokens, in time-major order.
    """
    run = size // parts
    starts = torch.arange(parts, device=lengths.device) * run
    return starts < lengths[:, None]


class Tagger(nn.Module, Embeds, Tagging):
    """A fine-tuned BEATs: the logits of every token, averaged; several labels at once.

    features (b, bins, frames) -> logits (b, labels); a sigmoid of each is its probability.
    """

    answer: Answer = "several"

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.labels = config, config.labels
        self.encoder = BEATs(dataclasses.replace(config, form="encoder", labels=()))
        self.head = nn.Linear(config.width, len(config.labels))

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b labels"]:
        # averaged before the linear layer instead of after it: the same number
        return self.head(self.encoder(features, lengths).pool())

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "tagger", "system": "beats", "config": self.config.to_dict()}
