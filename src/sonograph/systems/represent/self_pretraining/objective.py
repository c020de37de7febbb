"""Denoising: hide places of a sequence and tell what was there, on any encoder."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.encoder import Embeds
from sonograph.nn.hiding import Hiding, filler_size, patch_of
from sonograph.systems.represent.self_pretraining.model import Config

LEVELS = 256


class Pretraining(nn.Module, Embeds):
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
        if self.span > 1:
            draw = draw.repeat_interleave(self.span, 1)[:, :n]
        draw = draw.masked_fill(~valid, 2.0)
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
