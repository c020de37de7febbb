"""Masked prediction of acoustic labels: what teaches the encoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.nn.codebook import perplexity
from sonograph.nn.encoder import Embeds, Encoder, Tokens
from sonograph.nn.gated_bias import GatedTransformer
from sonograph.nn.hiding import Hiding, filler_size, patch_of
from sonograph.nn.masking import random_mask
from sonograph.systems.represent.beats.model import (
    BEATs,
    Config,
    frequency_major,
    time_major,
)
from sonograph.systems.represent.beats.tokenizer import RandomTokenizer, Tokenizer


class Predictor(nn.Module):
    """From what the encoder saw to an answer for each hidden patch.

    values (b, n, d) in frequency-major order, hidden (b, n) -> (hidden patches of all clips,
    outputs), clip after clip. A linear layer, one learned vector for all that is hidden, a few
    blocks with a table of their own, norm, linear layer; section 3.3.
    """

    def __init__(self, config: Config, outputs: int):
        super().__init__()
        self.enter = nn.Linear(config.width, config.width)
        self.filler = nn.Parameter(torch.empty(config.width))
        nn.init.normal_(self.filler, std=0.02)
        self.transformer = GatedTransformer(
            config.width,
            config.predictor_depth,
            config.num_heads,
            config.hidden,
            config.num_buckets,
            config.max_distance,
            dropout=config.dropout,
        )
        self.norm = nn.LayerNorm(config.width)
        self.answer = nn.Linear(config.width, outputs)

    def forward(
        self, tokens: Tokens, hidden: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "hidden outputs"]:
        x = self.enter(tokens.values)
        x = torch.where(hidden[..., None], self.filler.to(x.dtype), x)
        mask = None if tokens.mask is None else time_major(tokens.mask, tokens.grid)
        x = self.transformer(time_major(x, tokens.grid), mask)
        return self.answer(self.norm(frequency_major(x, tokens.grid)[hidden]))


class Pretraining(nn.Module, Embeds):
    """Three quarters of a clip's patches are hidden, and their labels predicted: section 3.3.

    BEATs encodes only the patches that are left, as one shorter sequence. Any other encoder of
    the house hides its own patches (`nn.hiding`). `config.targets` says who gives the labels: a
    random projection; a distilled tokenizer, which `teach` fills in; or nobody, and the patches
    themselves are to be painted ("patches", what the paper compares with).
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.settings = settings = settings_of(encoder)
        pixels = settings.patch[0] * settings.patch[1]
        self.tokenizer: RandomTokenizer | Tokenizer | None = None
        if settings.targets == "random":
            self.tokenizer = RandomTokenizer(
                pixels, settings.patch_width, settings.codes, settings.code_width
            )
        elif settings.targets == "distilled":
            config = dataclasses.replace(settings, form="tokenizer")
            self.tokenizer = Tokenizer(config).requires_grad_(False).eval()
        self.predictor = Predictor(settings, settings.codes if self.tokenizer else pixels)
        self.filler: nn.Parameter | None = None
        if not isinstance(encoder, BEATs):
            self.filler = nn.Parameter(0.02 * torch.randn(1, 1, filler_size(encoder)))

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def teach(self, tokenizer: Tokenizer) -> Pretraining:
        """Take the labels of this tokenizer; returns itself."""
        if not isinstance(self.tokenizer, Tokenizer):
            raise ValueError(f"targets are {self.settings.targets!r}: no tokenizer teaches them")
        self.tokenizer.load_state_dict(tokenizer.state_dict())
        return self

    def train(self, mode: bool = True) -> Pretraining:
        super().train(mode)
        if self.tokenizer is not None:
            self.tokenizer.eval()  # its codes must not move
        return self

    def forward(
        self,
        features: Float[Tensor, "b bins frames"],
        lengths: Int[Tensor, "b"] | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        parts = Hiding(self.encoder, features, lengths)
        counts = (parts.valid.sum(1) * self.settings.mask_share).round().long().clamp(min=1)
        hidden = random_mask(parts.valid, counts, generator)
        prediction = self.predictor(self.context(parts, hidden), hidden).float()
        if self.tokenizer is None:
            return {"loss": mse_loss(prediction, parts.targets()[hidden])}
        labels = self.labels_of(parts)[hidden]
        smoothing = self.settings.label_smoothing if self.training else 0.0
        loss = cross_entropy(prediction, labels, label_smoothing=smoothing)
        accuracy = (prediction.argmax(1) == labels).float().mean()
        used = torch.tensor(perplexity(labels, self.settings.codes))
        return {"loss": loss, "accuracy": accuracy, "perplexity": used}

    def labels_of(self, parts: Hiding) -> Int[Tensor, "b n"]:
        """The label of every patch."""
        if isinstance(self.tokenizer, Tokenizer):
            return self.tokenizer.tokenize(parts.features, parts.lengths)
        assert self.tokenizer is not None
        return self.tokenizer.tokenize(parts.targets())

    def context(self, parts: Hiding, hidden: Bool[Tensor, "b n"]) -> Tokens:
        """What the encoder makes of the patches that are not hidden."""
        mask = None if bool(parts.valid.all()) else parts.valid
        if isinstance(self.encoder, BEATs):
            assert parts.tokens is not None
            return Tokens(self.encoder.encode_kept(parts.tokens, hidden), mask, parts.grid)
        assert self.filler is not None
        return Tokens(parts.encode(hidden, self.filler), mask, parts.grid)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "pretraining", "system": "beats", "encoder": self.encoder.describe()}


def settings_of(encoder: Encoder) -> Config:
    """The configuration of the objective: BEATs' own; for other encoders one of their width."""
    config = getattr(encoder, "config", None)
    if isinstance(config, Config):
        return config
    width = encoder.width
    return Config(
        width=width,
        num_heads=next(heads for heads in (width // 64, 1) if heads and width % heads == 0),
        hidden=4 * width,
        patch=patch_of(encoder),
        patch_width=min(512, width),
        predictor_depth=1,
        features=encoder.spec,
    )
