"""How an autoregressive vocoder says the next sample, and how a long sound is made in pieces.

Shapes: b rows (pieces), m samples, c numbers that the network gives for a sample.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from sonograph.systems.speak.sv2tts.sizes import Folding, Samples

FADE_TAPS = 700  # of the answer of a de-emphasis: 0.97^700 < 1e-9


class Said:
    """The alphabet of samples: mu-law steps, or a mixture of logistics (of 16-bit samples)."""

    def __init__(self, sizes: Samples):
        self.sizes = sizes
        self.classes = 2**sizes.bits if sizes.kind == "mu-law" else 3 * sizes.mixtures
        self.draws = 1 if sizes.kind == "mu-law" else 2  # uniform numbers a sample takes

    def encode(self, waveform: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        """A waveform as the network hears it, within [-1, 1]."""
        x = waveform.clamp(-1, 1)
        if self.sizes.kind == "logistics":
            return x
        top = self.classes - 1
        curved = x.sign() * torch.log1p(top * x.abs()) / math.log1p(top)
        return ((curved + 1) / 2 * top + 0.5).floor() * 2 / top - 1

    def decode(self, x: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        """What the network says as a waveform."""
        if self.sizes.kind == "logistics":
            return x
        top = self.classes - 1
        return x.sign() / top * ((1.0 + top) ** x.abs() - 1)

    def draw(
        self, logits: Float[Tensor, "b c"], uniform: Float[Tensor, "b draws"]
    ) -> Float[Tensor, "b"]:
        """A sample, by uniform numbers in (0, 1); never in half precision."""
        logits = logits.to(torch.promote_types(logits.dtype, uniform.dtype))
        if self.sizes.kind == "mu-law":
            sums = logits.softmax(1).cumsum(1)
            step = torch.searchsorted(sums, uniform * sums[:, -1:])[:, 0]
            return step.clamp(max=self.classes - 1) * (2 / (self.classes - 1)) - 1
        shares, means, scales = logits.chunk(3, dim=1)
        sums = shares.softmax(1).cumsum(1)
        pick = torch.searchsorted(sums, uniform[:, :1] * sums[:, -1:])
        pick = pick.clamp(max=self.sizes.mixtures - 1)
        mean, scale = means.gather(1, pick)[:, 0], scales.gather(1, pick)[:, 0]
        u = uniform[:, 1].clamp(1e-5, 1 - 1e-5)
        spread = scale.clamp(min=self.sizes.least_log_scale).exp()
        return (mean + spread * (u.log() - (1 - u).log())).clamp(-1, 1)

    def loss(
        self, logits: Float[Tensor, "b m c"], target: Float[Tensor, "b m"]
    ) -> Float[Tensor, ""]:
        """Negative log likelihood of encoded samples, nats a sample."""
        if self.sizes.kind == "mu-law":
            step = ((target + 1) / 2 * (self.classes - 1)).round().long()
            return F.cross_entropy(logits.flatten(0, 1), step.flatten())
        shares, means, scales = logits.chunk(3, dim=2)
        scales = scales.clamp(min=self.sizes.least_log_scale)
        half = 1 / 65535  # of a 16-bit step
        apart = target[..., None] - means
        upper, lower = (((apart + side * half) * torch.exp(-scales)) for side in (1, -1))
        inner = (upper.sigmoid() - lower.sigmoid()).clamp(min=1e-12).log()
        middle = apart * torch.exp(-scales)  # where a step is too thin to be told: the density
        dense = middle - scales - 2 * F.softplus(middle) + math.log(2 * half)
        each = torch.where(upper.sigmoid() - lower.sigmoid() > 1e-5, inner, dense)
        least, most = target[..., None] < -0.999, target[..., None] > 0.999
        each = torch.where(least, F.logsigmoid(upper), each)
        each = torch.where(most, F.logsigmoid(-lower), each)
        return -(each + shares.log_softmax(2)).logsumexp(2).mean()


class Pieces(NamedTuple):
    """How a sound of `samples` is cut: where each piece begins, and how long all of them are."""

    starts: list[int]
    length: int
    samples: int


def pieces_of(samples: int, folding: Folding) -> Pieces:
    """Pieces of equal lengths that overlap; one alone where the sound is short.

    >>> pieces_of(20, Folding(8, 2)), pieces_of(7, Folding(8, 2))
    (Pieces(starts=[0, 8, 16], length=10, samples=20), Pieces(starts=[0], length=7, samples=7))
    """
    if samples <= folding.target + folding.overlap:
        return Pieces([0], samples, samples)
    starts = list(range(0, samples - folding.overlap, folding.target))
    return Pieces(starts, folding.target + folding.overlap, samples)


def joined(
    made: Float[Tensor, "k length"], pieces: Pieces, overlap: int
) -> Float[Tensor, "samples"]:
    """Pieces as one sound. Of an overlap the first half is the later piece's run-up; over the
    second half power goes from the earlier to the later one.
    """
    if len(made) == 1:
        return made[0, : pieces.samples]
    quiet = overlap // 2
    t = torch.linspace(0, 1, overlap - quiet, device=made.device)
    into = torch.cat([torch.zeros(quiet, device=made.device), t.sqrt()])
    out = torch.cat([torch.ones(quiet, device=made.device), (1 - t).sqrt()])
    sound = made.new_zeros(pieces.starts[-1] + pieces.length)
    for k, start in enumerate(pieces.starts):
        piece = made[k].clone()
        if k:
            piece[:overlap] *= into
        if k < len(pieces.starts) - 1:
            piece[-overlap:] *= out
        sound[start : start + pieces.length] += piece
    return sound[: pieces.samples]


def uniforms(
    pieces: Pieces, draws: int, generator: torch.Generator | None
) -> Float[Tensor, "k length draws"]:
    """Random numbers of one clip, drawn before those of the next: clips do not touch."""
    return torch.rand((len(pieces.starts), pieces.length, draws), generator=generator)


def emphasised(x: Float[Tensor, "b n"], factor: float) -> Float[Tensor, "b n"]:
    """x[n] - factor x[n - 1]."""
    return x if factor == 0 else x - factor * F.pad(x, (1, 0))[:, :-1]


def plain_again(x: Float[Tensor, "b n"], factor: float) -> Float[Tensor, "b n"]:
    """The inverse of `emphasised`: y[n] = x[n] + factor y[n - 1]."""
    if factor == 0:
        return x
    taps = factor ** torch.arange(FADE_TAPS - 1, -1, -1, dtype=x.dtype, device=x.device)
    return F.conv1d(F.pad(x, (FADE_TAPS - 1, 0))[:, None], taps[None, None])[:, 0]


def frames_at(position: Int64[Tensor, "b"], hop: int, frames: int) -> Int64[Tensor, "b"]:
    """Which frame samples belong to; those beyond the end to the last one."""
    return torch.div(position, hop, rounding_mode="floor").clamp(max=frames - 1)
