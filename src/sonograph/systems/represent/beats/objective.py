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
from sonograph.nn.encoder import Encoder, Tokens
from sonograph.nn.gated_bias import GatedTransformer
from sonograph.nn.masking import random_mask
from sonograph.nn.patches import patch_grid
from sonograph.systems.represent.beats.model import (
    BEATs,
    Config,
    frequency_major,
    pixels_of,
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


class Pretraining(nn.Module):
    """Three quarters of a clip's patches are hidden, and their labels predicted: section 3.3.

    BEATs encodes only the patches that are left, as one shorter sequence. Any other encoder of
    the house hides its own tokens under the hidden patches. `config.targets` says who gives the
    labels: a random projection; a distilled tokenizer, which `teach` fills in; or nobody, and the
    patches themselves are to be painted ("patches", what the paper compares with).
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.settings = settings = settings_of(encoder)
        self.tokenizer: RandomTokenizer | Tokenizer | None = None
        if settings.targets == "random":
            self.tokenizer = RandomTokenizer(
                settings.patch, settings.patch_width, settings.codes, settings.code_width
            )
        elif settings.targets == "distilled":
            config = dataclasses.replace(settings, form="tokenizer")
            self.tokenizer = Tokenizer(config).requires_grad_(False).eval()
        pixels = settings.patch[0] * settings.patch[1]
        self.predictor = Predictor(settings, settings.codes if self.tokenizer else pixels)
        self.filler: nn.Parameter | None = None
        if not isinstance(encoder, BEATs):
            self.filler = nn.Parameter(0.02 * torch.randn(encoder.width))

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
        features, valid, grid = self.patches_of(features, lengths)
        counts = (valid.sum(1) * self.settings.mask_share).round().long().clamp(min=1)
        hidden = random_mask(valid.cpu(), counts.cpu(), generator).to(features.device)
        prediction = self.predictor(self.context(features, lengths, hidden, valid, grid), hidden)
        if self.tokenizer is None:
            loss = mse_loss(prediction.float(), pixels_of(features, self.settings.patch)[hidden])
            return {"loss": loss}
        labels = self.labels_of(features, lengths)[hidden]
        smoothing = self.settings.label_smoothing if self.training else 0.0
        loss = cross_entropy(prediction.float(), labels, label_smoothing=smoothing)
        accuracy = (prediction.argmax(1) == labels).float().mean()
        used = torch.tensor(perplexity(labels, self.settings.codes))
        return {"loss": loss, "accuracy": accuracy, "perplexity": used}

    def labels_of(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None
    ) -> Int[Tensor, "b n"]:
        """The label of every patch."""
        if isinstance(self.tokenizer, Tokenizer):
            return self.tokenizer.tokenize(features, lengths)
        assert self.tokenizer is not None
        return self.tokenizer.tokenize(features)

    def patches_of(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None
    ) -> tuple[Float[Tensor, "b bins frames"], Bool[Tensor, "b n"], tuple[int, int]]:
        """(features of at least one patch, which patches are the clip's own, their grid)."""
        patch, frames = self.settings.patch, features.shape[2]
        if frames < patch[1]:
            padding = -self.spec.mean / self.spec.deviation
            features = nn.functional.pad(features, (0, patch[1] - frames), value=padding)
        rows, columns = patch_grid((features.shape[1], features.shape[2]), patch, patch)
        own = torch.full((len(features),), columns, device=features.device)
        if lengths is not None:
            own = lengths.to(own).div(patch[1], rounding_mode="floor").clamp(1, columns)
        within = torch.arange(columns, device=features.device) < own[:, None]
        return features, within[:, None].expand(-1, rows, -1).flatten(1), (rows, columns)

    def context(
        self,
        features: Float[Tensor, "b bins frames"],
        lengths: Int[Tensor, "b"] | None,
        hidden: Bool[Tensor, "b n"],
        valid: Bool[Tensor, "b n"],
        grid: tuple[int, int],
    ) -> Tokens:
        """What the encoder makes of the patches that are not hidden, on the grid of the labels."""
        mask = None if bool(valid.all()) else valid
        if isinstance(self.encoder, BEATs):
            tokens = self.encoder.patch_tokens(features, lengths)
            return Tokens(self.encoder.encode_kept(tokens, hidden), mask, grid)
        from sonograph.nn.hiding import hide, on_grid

        assert self.filler is not None
        tokens = hide(self.encoder, features, lengths, hidden.unflatten(1, grid), self.filler)
        return Tokens(on_grid(tokens, grid).values, mask, grid)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "pretraining", "system": "beats", "encoder": self.encoder.describe()}


def settings_of(encoder: Encoder) -> Config:
    """The configuration of the objective: BEATs' own; for other encoders one of their width.

    Patches are of 16 bins by 16 frames, of waveforms 20 ms.
    """
    config = getattr(encoder, "config", None)
    if isinstance(config, Config):
        return config
    spec, width = encoder.spec, encoder.width
    waveform = spec.kind == "waveform"
    patch = (1, round(0.02 * spec.rate_hz)) if waveform else (min(16, spec.rows), 16)
    heads = next(h for h in (width // 64, width // 32, 1) if h and width % h == 0)
    return Config(
        width=width,
        depth=1,
        num_heads=heads,
        hidden=4 * width,
        patch=patch,
        predictor_depth=1,
        features=spec,
    )
