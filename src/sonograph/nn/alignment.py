"""Durations of recordings without labels: an aligner that learns along with a voice.

When its paths are trusted, and what it is taught by: RAD-TTS's schedule around `nn/aligner.py`.

Shapes: b clips, n tokens, t frames, c channels of embedded tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.config import Config
from sonograph.nn.acoustic import SpeechBatch
from sonograph.nn.aligner import (
    Aligned,
    Aligner,
    beta_binomial_prior,
    binarisation_loss,
    forward_sum_loss,
)
from sonograph.nn.monotonic import Durations, to_hard


@dataclasses.dataclass(frozen=True)
class Alignment(Config):
    """Where durations come from while a voice learns.

    "given": with the batch (a teacher's, or labels). "learned": an aligner that learns along
    (nn/aligner.py); attention is soft before update `hard_from`, the binarisation loss joins at
    `binarise_from`: 6,000 and 18,000 in RAD-TTS, sooner in short runs.
    """

    source: Literal["given", "learned"] = "given"
    hard_from: int = 6000
    binarise_from: int = 18000
    forward_sum: float = 0.1  # weights of the two losses
    binarisation: float = 1.0
    prior: float = 1.0  # scaling of the beta-binomial prior
    temperature: float = 0.0005


class Found(NamedTuple):
    """What the aligner says of a batch, and what it is taught by, not yet weighted.

    attention: soft weights of frames over tokens, to be used in place of `durations` as long as
    the aligner is young; None later.
    """

    durations: Int64[Tensor, "b n"]
    attention: Float[Tensor, "b t n"] | None
    losses: dict[str, Tensor]


def aligned(
    aligner: Aligner, embedded: Float[Tensor, "b c n"], batch: SpeechBatch, prior: float = 1.0
) -> Aligned:
    """Every frame against every token, under the prior of that scaling.

    embedded: the tokens as they enter the voice; what its encoder makes of them knows of its
    neighbours, and aligns worse.
    """
    tokens, frames = batch.text.lengths, batch.lengths
    size = (batch.features.shape[2], batch.text.ids.shape[1])
    likely = beta_binomial_prior(frames, tokens, prior, size)
    return aligner(embedded, batch.features, tokens, frames, likely)


def find_durations(
    aligner: Aligner,
    plan: Alignment,
    step: int,
    embedded: Float[Tensor, "b c n"],
    batch: SpeechBatch,
) -> Found:
    """Durations of a batch at an update of the training; the losses' weights are the fields of
    `plan` that have their names.
    """
    tokens, frames = batch.text.lengths, batch.lengths
    every = aligned(aligner, embedded, batch, plan.prior)
    durations = aligner.align(every, tokens, frames).frames.to(batch.text.ids.device)
    losses = {"forward_sum": forward_sum_loss(every.scores, tokens, frames)}
    if step >= plan.binarise_from:
        hard = to_hard(durations, batch.features.shape[2])
        losses["binarisation"] = binarisation_loss(hard, every.soft)
    return Found(durations, every.soft if step < plan.hard_from else None, losses)


class AlignerAlone(nn.Module):
    """Embeddings and the learned aligner: all that durations need.

    forward(batch, generator) -> {"loss": ..., its parts}; binarisation joins at `binarise_from`.
    """

    updates: Tensor

    def __init__(self, tokens: int, rows: int, width: int, binarise_from: int):
        super().__init__()
        self.embed, self.aligner = nn.Embedding(tokens, width), Aligner(width, rows)
        self.plan = Alignment("learned", binarise_from=binarise_from)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(
        self, batch: SpeechBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        step = int(self.updates)
        if self.training:
            self.updates += 1
        parts = find_durations(self.aligner, self.plan, step, self._embedded(batch), batch).losses
        return {"loss": sum(parts.values(), torch.zeros(()))} | parts

    @torch.no_grad()
    def durations(self, batch: SpeechBatch) -> Durations:
        """What it says of recordings."""
        every = aligned(self.aligner, self._embedded(batch), batch, self.plan.prior)
        return self.aligner.align(every, batch.text.lengths, batch.lengths)

    def _embedded(self, batch: SpeechBatch) -> Float[Tensor, "b c n"]:
        return self.embed(batch.text.ids).transpose(1, 2)
