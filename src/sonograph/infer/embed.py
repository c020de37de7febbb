"""Sounds to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from sonograph.audio.feature_spec import Frontend
from sonograph.errors import InputError
from sonograph.infer.windows import Sound, name_of, seconds_of, window_batches
from sonograph.nn.encoder import Tokens
from sonograph.outputs import Embedding
from sonograph.progress import Progress, part_of, silent

Pool = Literal["statistics", "mean"]


def encoder_of(model: nn.Module) -> Any:
    """The encoder inside a model: itself, or what a head or an objective stands on."""
    inner = getattr(model, "encoder", model)
    if not hasattr(inner, "spec") or not hasattr(inner, "width"):
        raise InputError(f"a {type(model).__name__} has no encoder to make vectors with")
    return inner


def embed(
    model: nn.Module,
    sounds: Sound | Sequence[Sound],
    pool: Pool = "statistics",
    batch: int = 8,
    progress: Progress = silent,
) -> Embedding:
    """One vector for each sound, of any length, rate and channel count, in bounded memory.

    pool: "statistics" is mean and standard deviation over time of each frequency row of the
    token grid, 2 x rows x width values; "mean" the mean of all tokens, width values. Sounds are
    mixed to mono and cut into windows of the model's length; the vector of a long sound is that of
    all its windows' tokens together.
    """
    several = [sounds] if isinstance(sounds, str) or not isinstance(sounds, Sequence) else sounds
    if not several:
        raise InputError("there are no sounds to embed")
    vectors, names = [], []
    for number, sound in enumerate(several):
        note = name_of(sound, number)
        tell = part_of(progress, number, len(several), note) if progress is not silent else silent
        vectors.append(_vector(model, sound, pool, batch, tell))
        names.append(note)
    progress(len(several), len(several), "")
    return Embedding(np.stack(vectors), tuple(names), getattr(model, "name", ""))


@torch.inference_mode()
def _vector(
    model: nn.Module, sound: Sound, pool: Pool, batch: int, progress: Progress
) -> np.ndarray:
    encoder = encoder_of(model)
    frontend = Frontend(encoder.spec)
    frames = encoder.config.frames
    total = seconds_of(sound) if progress is not silent else 0.0
    sums = Moments(encoder.grid[0], encoder.width)
    for group in window_batches(sound, encoder.spec, frames, frames, batch):
        features = frontend(group.waveform, group.lengths)
        sums.add(encoder(features.values, features.lengths))
        progress(group.start_s[-1], max(total, group.start_s[-1] + 1e-9))
    return sums.vector(pool)


class Moments:
    """Sums over time, from which mean and standard deviation come however long a sound was.

    Each frequency row of the token grid has its own: what is high and what is low stays apart.
    """

    def __init__(self, rows: int, width: int):
        self.count = 0.0
        self.first = torch.zeros(rows, width, dtype=torch.float64)
        self.second = torch.zeros(rows, width, dtype=torch.float64)

    def add(self, tokens: Tokens) -> None:
        values: Tensor = rearrange(tokens.values.double(), "b (f t) d -> b f t d", f=tokens.grid[0])
        weight = torch.ones_like(values[..., :1])
        if tokens.mask is not None:
            weight = rearrange(tokens.mask.double(), "b (f t) -> b f t 1", f=tokens.grid[0])
        self.count += float(weight[:, 0].sum())
        self.first += (values * weight).sum((0, 2)).cpu()
        self.second += (values.square() * weight).sum((0, 2)).cpu()

    def vector(self, pool: Pool) -> np.ndarray:
        mean = self.first / self.count
        if pool == "mean":
            return mean.mean(0).float().numpy()
        spread = (self.second / self.count - mean.square()).clamp(min=0).sqrt()
        return torch.cat([mean.flatten(), spread.flatten()]).float().numpy()
