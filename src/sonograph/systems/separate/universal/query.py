"""Query nets: what a separator is asked with, told by a PANNs tagger from a sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu

from sonograph.audio.feature_spec import Frontend
from sonograph.errors import InputError
from sonograph.systems.tag import panns

Sound = Float[Tensor | np.ndarray, "*one n"]  # mono
Blocks = Sound | Iterable[Sound]

SILENCE = 1e-4  # of full scale, -80 dB
QUIET = 0.02  # of the loudest sample of an example: what stays below it is left out
FRAME_S = 0.1  # in such pieces


class Adaptor(nn.Module):
    """Two linear layers on the tagger's answer that learn with the separator.

    (b, c_in) -> (b, c). The second one is followed by a leaky ReLU and dropout as well.
    """

    def __init__(self, width_in: int, width: int, hidden: int = 2048):
        super().__init__()
        self.first = nn.Linear(width_in, hidden)
        self.second = nn.Linear(hidden, width)
        for layer in (self.first, self.second):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, told: Float[Tensor, "b c_in"]) -> Float[Tensor, "b c"]:
        for layer in (self.first, self.second):
            told = dropout(leaky_relu(layer(told), 0.01), 0.5, self.training)
        return told


class QueryNet(nn.Module):
    """A frozen tagger, what is taken of it, and an adaptor where there is one.

    kind "soft_tags": the probabilities of its labels; "embedding": the vector before them.
    """

    def __init__(self, tagger: panns.Config, kind: str, adapted: int = 0):
        super().__init__()
        self.kind = kind
        self.tagger = panns.build(tagger).requires_grad_(False)
        self.frontend = Frontend(tagger.features)
        told = len(tagger.labels) if kind == "soft_tags" else tagger.embedding
        self.adaptor = Adaptor(told, adapted) if adapted else None
        self.width = adapted or told

    @property
    def labels(self) -> tuple[str, ...]:
        return self.tagger.labels

    def train(self, mode: bool = True) -> QueryNet:
        """As of any module; the tagger stays as in evaluation."""
        super().train(mode)
        self.tagger.eval()
        return self

    @torch.no_grad()
    def tags(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b labels"]:
        """Probabilities of the labels; zeros in silence, whatever was learned of it."""
        features = self.frontend(waveform)
        told = self.tagger.scores(self.tagger(features.values, features.lengths))
        return told * (waveform.abs().amax(1, keepdim=True) >= SILENCE)

    def adapted(self, told: Float[Tensor, "b c_in"]) -> Float[Tensor, "b c"]:
        """A condition from what the tagger told."""
        return told if self.adaptor is None else self.adaptor(told)

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b c"]:
        """The condition that asks for sounds like these."""
        if self.kind == "soft_tags":
            return self.adapted(self.tags(waveform))
        with torch.no_grad():
            features = self.frontend(waveform)
            told = self.tagger.encoder(features.values, features.lengths).special[:, 0]
        return self.adapted(told)


def mono(sound: Sound) -> Float[Tensor, "n"]:
    """(n,) or (1, n) as (n,). Raises InputError for several channels."""
    told = torch.as_tensor(sound, dtype=torch.float32)
    if told.ndim not in (1, 2) or told.numel() != told.shape[-1]:
        raise InputError(f"a sound is asked for as (n,), not {tuple(told.shape)}: mix it down")
    return told.reshape(-1)


def segments(sound: Blocks, samples: int) -> Iterator[Float[Tensor, "samples"]]:
    """Pieces of so many samples, one after the other; the last one may be shorter.

    sound: (n,), or blocks of any lengths that follow each other, so that no file is ever held.
    """
    held = torch.zeros(0)
    for block in [sound] if isinstance(sound, Tensor | np.ndarray) else sound:
        more = mono(block)
        held = torch.cat([held.to(more), more])
        while len(held) >= samples:
            yield held[:samples]
            held = held[samples:]
    if len(held):
        yield held


def without_silence(
    example: Float[Tensor, "n"], rate_hz: int, least: float = QUIET
) -> Float[Tensor, "m"]:
    """The pieces of 0.1 s in which something is heard, joined.

    least: beside the loudest sample. Raises InputError for silence.
    """
    loudest = float(example.abs().amax()) if len(example) else 0.0
    if loudest < SILENCE:
        raise InputError("the example is silent: give a recording in which the sound is heard")
    length = max(1, round(FRAME_S * rate_hz))
    frames = nn.functional.pad(example, (0, -len(example) % length)).reshape(-1, length)
    heard: Bool[Tensor, "frames"] = frames.abs().amax(1) > least * loudest
    return frames[heard].flatten()


def filled(piece: Float[Tensor, "n"], samples: int) -> Float[Tensor, "samples"]:
    """A piece repeated until it is so long."""
    return piece.repeat(-(-samples // len(piece)))[:samples]
