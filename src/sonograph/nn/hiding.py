"""Hiding parts of what an encoder hears, whatever the encoder.

A token encoder has `patch_tokens` and `encode`, and what is hidden is one of its patches: the token
is replaced before positions are added. Any other encoder is given a spectrogram (or waveform) in
which the hidden stretches hold the filler.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, pad

from sonograph.errors import InputError
from sonograph.nn.encoder import Tokens
from sonograph.nn.patches import Pair, patch_grid, patchify


def takes_tokens(encoder: Any) -> bool:
    """Whether tokens can be hidden, rather than stretches of the features."""
    return hasattr(encoder, "patch_tokens")


def patch_of(encoder: Any) -> Pair:
    """What is hidden as one: (rows, frames), a patch, or the share of the features of one token.

    Raises InputError for patches that overlap: a hidden one would show in its neighbours.
    """
    config = encoder.config
    if takes_tokens(encoder):
        stride = getattr(config, "stride", config.patch)
        if config.patch != stride:
            raise InputError(
                f"pre-training needs patches that do not overlap: patch {config.patch} is not "
                f"stride {stride}"
            )
        return config.patch
    rows, columns = encoder.grid
    return max(1, encoder.spec.rows // rows), max(1, config.frames // columns)


def filler_size(encoder: Any) -> int:
    """How many numbers stand in for one hidden part: those of a token, or of a patch."""
    rows, frames = patch_of(encoder)
    return encoder.width if takes_tokens(encoder) else rows * frames


class Hiding:
    """One batch of clips of which parts can be hidden, several times over.

    features (b, rows, frames), lengths (b,) or None. `grid` is (rows, columns) of the parts, in
    frequency-major order; `valid` (b, n) is True where a part is of the clip.
    """

    def __init__(
        self,
        encoder: Any,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
    ):
        self.encoder, self.lengths, self.patch = encoder, lengths, patch_of(encoder)
        batch, _, frames = features.shape
        least = self.patch[1]
        if frames < least:
            filling = -encoder.spec.mean / encoder.spec.deviation
            features = pad(features, (0, least - frames), value=filling)
        self.features = features
        self.tokens: Tokens | None = None
        if takes_tokens(encoder):
            self.tokens = encoder.patch_tokens(features, lengths)
            self.grid = self.tokens.grid
            mask = self.tokens.mask
        else:
            self.grid = patch_grid((features.shape[1], features.shape[2]), self.patch, self.patch)
            mask = None
            if lengths is not None:
                columns = (lengths // least).clamp(min=1)
                inside = torch.arange(self.grid[1], device=lengths.device) < columns[:, None]
                mask = repeat(inside, "b t -> b (f t)", f=self.grid[0])
        count = self.grid[0] * self.grid[1]
        self.valid = (
            torch.ones(batch, count, dtype=torch.bool, device=features.device)
            if mask is None
            else mask
        )

    def targets(self) -> Float[Tensor, "b n pixels"]:
        """What each part really holds."""
        return patchify(self.features, self.patch).detach()

    def encode(
        self, hidden: Bool[Tensor, "b n"], filler: Float[Tensor, "1 1 size"]
    ) -> Float[Tensor, "b n d"]:
        """The encoder's answer at every part, with the hidden ones replaced by the filler."""
        if self.tokens is not None:
            shown = self.tokens.values
            shown = torch.where(hidden[..., None], filler.to(shown.dtype), shown)
            return self.encoder.encode(dataclasses.replace(self.tokens, values=shown)).values
        (f, t), (p, q) = self.grid, self.patch
        covered = self.features[:, : f * p, : t * q]
        hole = repeat(hidden, "b (f t) -> b (f p) (t q)", f=f, p=p, q=q)
        cover = repeat(filler[0, 0], "(p q) -> (f p) (t q)", p=p, q=q, f=f, t=t)
        shown = self.features.clone()
        shown[:, : f * p, : t * q] = torch.where(hole, cover.to(shown.dtype), covered)
        return on_grid(self.encoder(shown, self.lengths), self.grid)


def on_grid(tokens: Tokens, grid: Pair) -> Float[Tensor, "b n d"]:
    """The values of tokens on another grid, each from the nearest token.

    >>> tokens = Tokens(torch.arange(4.0)[None, :, None], None, (2, 2))
    >>> on_grid(tokens, (2, 4)).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    """
    if tokens.grid == grid:
        return tokens.values
    plane = rearrange(tokens.values, "b (f t) d -> b d f t", f=tokens.grid[0])
    return rearrange(interpolate(plane, grid, mode="nearest-exact"), "b d f t -> b (f t) d")
