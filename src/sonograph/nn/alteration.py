"""Altering features along time, frequency and magnitude, for a model that is to mend them.

Liu, Li and Lee, "TERA" (2021), section III-A; numbers and draws of the official code.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sonograph.config import Config
from sonograph.errors import InputError


@dataclasses.dataclass(frozen=True)
class Alteration(Config):
    """How an utterance is altered."""

    time_share: float = 0.15  # of the frames, in blocks that may overlap; 0: time is left alone
    block_frames: int = 7
    zero_chance: float = 0.8  # of an utterance: its blocks are zeroed,
    copy_chance: float = 0.1  # or hold other frames of it; else they stay, to be reproduced
    frequency_share: float = 0.2  # of the rows, the widest band that is zeroed
    noise_chance: float = 0.15
    noise_deviation: float = 0.2
    # "published": noise for all of a batch or none, the last frame and row never altered, no block
    # of time for utterances shorter than a few of them
    compat: Literal["none", "published"] = "none"

    def __post_init__(self) -> None:
        for name in ("time_share", "frequency_share", "noise_chance", "zero_chance", "copy_chance"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"Alteration.{name} is {getattr(self, name)}: it lies in [0, 1]")
        if self.zero_chance + self.copy_chance > 1:
            raise InputError("Alteration: zero_chance and copy_chance are more than 1 together")
        if self.block_frames < 1 or self.noise_deviation < 0:
            raise InputError("Alteration: block_frames is at least 1, noise_deviation at least 0")


TIME = Alteration(frequency_share=0.0, noise_chance=0.0)
FREQUENCY = Alteration(time_share=0.0, noise_chance=0.0)
MAGNITUDE = Alteration(time_share=0.0, frequency_share=0.0, noise_chance=1.0)
TIME_FREQUENCY = Alteration(noise_chance=0.0)


@dataclasses.dataclass(frozen=True)
class Altered:
    """features as the model sees them; positions: True where it is to say what was there."""

    features: Float[Tensor, "b rows frames"]
    positions: Bool[Tensor, "b rows frames"]


def alter(
    features: Float[Tensor, "b rows frames"],
    lengths: Int[Tensor, "b"] | None,
    key: int,
    policy: Alteration = Alteration(),
) -> Altered:
    """Alter features of any kind along time, frequency and magnitude.

    Utterance i is altered by a counter-based generator (Philox) of key (key, i): what happens to
    it depends on these, on its own length and on nothing else, however the batch is padded.
    """
    batch, rows, frames = features.shape
    counts = [frames] * batch if lengths is None else lengths.tolist()
    source = np.tile(np.arange(frames), (batch, 1))  # the frame that each one is taken from
    zeroed = np.zeros((batch, rows, frames), bool)
    positions = np.zeros((batch, rows, frames), bool)
    noise = np.zeros((batch, rows, frames), np.float32)
    loud_all = np.random.Generator(np.random.Philox(key=[key, batch])).random()
    for i, count in enumerate(counts):
        draw = np.random.Generator(np.random.Philox(key=[key, i]))
        fate, loud = draw.random(2)
        if policy.time_share:
            there, taken = _blocks(count, policy, draw), _blocks(count, policy, draw)
            positions[i, :, there] = True
            if fate < policy.zero_chance:
                zeroed[i, :, there] = True
            elif fate < policy.zero_chance + policy.copy_chance:
                source[i, there] = taken
        band = _band(rows, policy, draw)
        zeroed[i, band, :count] = True
        positions[i, band, :count] = True
        if policy.compat == "published":
            loud = loud_all
        if loud < policy.noise_chance:
            noise[i, :, :count] = policy.noise_deviation * draw.standard_normal((rows, count))
        if policy.noise_chance and not (policy.time_share or policy.frequency_share):
            positions[i, :, :count] = True
    place = features.device
    index = torch.from_numpy(source).to(place)[:, None].expand(-1, rows, -1)
    changed = features.gather(2, index).masked_fill(torch.from_numpy(zeroed).to(place), 0.0)
    changed = changed + torch.from_numpy(noise).to(place, features.dtype)
    return Altered(changed, torch.from_numpy(positions).to(place))


def _blocks(count: int, policy: Alteration, draw: np.random.Generator) -> np.ndarray:
    """The frames of blocks with different starts; as many entries whenever it is asked."""
    number = round(policy.time_share * count / policy.block_frames)
    starts = count - policy.block_frames + 1
    if policy.compat == "published":
        starts -= 1
    else:
        number = max(1, number)
    chosen = draw.permutation(max(1, starts))[:number]
    return (chosen[:, None] + np.arange(policy.block_frames)).clip(max=max(0, count - 1)).ravel()


def _band(rows: int, policy: Alteration, draw: np.random.Generator) -> slice:
    """Neighbouring rows, from none to the widest band."""
    width = int(draw.integers(int(rows * policy.frequency_share) + 1))
    starts = max(1, rows - width + (policy.compat == "none"))
    start = int(draw.integers(starts))
    return slice(start, start + width)
