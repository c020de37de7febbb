"""Acoustic models: token ids of one text in, features and durations out.

How many frames come out depends on what the model says, not on shapes: one text a call.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.audio.table import Table
from sonograph.exports.ports import Length, Port, Surface
from sonograph.nn.acoustic import Text

if TYPE_CHECKING:
    from sonograph.nn.acoustic import Acoustic

MOST_TOKENS, MOST_FRAMES = 512, 4096


class Speaking(nn.Module):
    """ids (1, n) -> features (1, rows, t), durations (1, n) in frames, of a model without chance.

    speak: what `Acoustic.speak` does, without its checks of values.
    """

    def __init__(self, acoustic: Any):
        super().__init__()
        self.acoustic = acoustic

    def forward(self, ids: Int64[Tensor, "1 n"]) -> tuple[Tensor, Tensor]:
        said = self.acoustic(whole(ids))
        return said.refined.transpose(1, 2), said.durations


class SpeakingFromNoise(nn.Module):
    """ids (1, n), noise (1, rows, MOST_FRAMES) of deviation 1, of which the first t are used."""

    def __init__(self, acoustic: Any):
        super().__init__()
        self.acoustic = acoustic

    def forward(
        self, ids: Int64[Tensor, "1 n"], noise: Float[Tensor, "1 rows most"]
    ) -> tuple[Tensor, Tensor]:
        read = self.acoustic.read(whole(ids))
        frames = read.decoder_input.shape[1]
        features = self.acoustic.sample(read, lambda: noise[:, :, :frames])
        return features * read.mask, read.durations


class Generating(nn.Module):
    """ids (1, n) -> features (1, rows, t), attention (1, t, n), frame after frame."""

    def __init__(self, acoustic: Any):
        super().__init__()
        self.acoustic = acoustic

    def forward(self, ids: Int64[Tensor, "1 n"]) -> tuple[Tensor, Tensor]:
        features, _, attention = self.acoustic.generate(whole(ids), None, None)
        return features, attention


class Saying(nn.Module):
    """ids (1, n) -> features (1, rows, t), durations (1, n): whatever a model does to speak."""

    def __init__(self, acoustic: Acoustic):
        super().__init__()
        self.acoustic = acoustic

    def forward(self, ids: Int64[Tensor, "1 n"]) -> tuple[Tensor, Tensor]:
        spoken = self.acoustic.speak(whole(ids))
        return spoken.features, spoken.durations


class TabledStack(nn.Module):
    """A `PostNormStack` whose positions are a table of its own, of the longest text or sound."""

    def __init__(self, stack: Any, most: int):
        from sonograph.nn.sinusoids import sinusoids

        super().__init__()
        self.blocks = stack.blocks
        self.most = most
        places, width = stack.first + most, stack.blocks[0].norm1.weight.shape[0]
        self.positions = Table(sinusoids(places, width)[stack.first :])

    def forward(self, x: Float[Tensor, "b n d"], mask: Tensor | None) -> Float[Tensor, "b n d"]:
        torch._check(x.shape[1] <= self.most)
        x = x + self.positions.values[: x.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        return x


def with_tables(model: nn.Module) -> nn.Module:
    """Put tables of positions where they would be computed for each length."""
    from sonograph.systems.speak.fastspeech.model import PostNormStack

    for part in list(model.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, PostNormStack):
                most = MOST_TOKENS if name == "encoder" else MOST_FRAMES
                setattr(part, name, TabledStack(child, most))
    return model


def whole(ids: Int64[Tensor, "1 n"]) -> Text:
    """One text without padding, every token a word of its own."""
    size = ids.shape[1]
    words = torch.arange(size, device=ids.device)[None]
    return Text(ids, torch.full((1,), size, device=ids.device), words)


def voice_surface(acoustic: Acoustic) -> Surface:
    from sonograph.systems.speak.fastspeech.model import FastSpeech
    from sonograph.systems.speak.prodiff.model import ProDiff
    from sonograph.systems.speak.sv2tts.speaking import Synthesizer
    from sonograph.text.tokens import alphabet

    spec, tokens = acoustic.spec, getattr(acoustic, "config", None).tokens  # type: ignore[union-attr]
    inputs: tuple[Port, ...] = (
        Port("ids", (1, "tokens"), "numbers of `symbols`, from 0", "int64"),
    )
    module: nn.Module = Saying(acoustic)
    noise: tuple[int, ...] = ()
    if isinstance(acoustic, FastSpeech):
        module = Speaking(acoustic)
    elif isinstance(acoustic, Synthesizer):
        module = Generating(acoustic)
    elif isinstance(acoustic, ProDiff):
        module, noise = SpeakingFromNoise(acoustic), (1, spec.rows, MOST_FRAMES)
        inputs = (*inputs, Port("noise", noise, "normal, of deviation 1"))

    def draw(clips: int, length: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        ids = torch.randint(1, tokens, (clips, length), generator=generator)
        return (ids, torch.randn(noise, generator=generator)) if noise else (ids,)

    about: dict[str, Any] = {"rate_hz": spec.rate_hz, "hop_samples": spec.hop_samples}
    about |= {"alphabet": acoustic.alphabet, "symbols": list(alphabet(acoustic.alphabet).symbols)}
    return Surface(
        "voice",
        module,
        inputs,
        (
            Port("features", (1, spec.rows, "frames"), "what a vocoder of `features` takes"),
            Port("durations", (1, "tokens"), "frames of each token", "int64"),
        ),
        Length("tokens", 24, least=3, most=MOST_TOKENS),
        draw,
        {**about, "features": spec.to_dict()},
        free=("tokens",),
        batches=(1,),
        followed=with_tables(copy.deepcopy(module)),
    )
