"""FastSpeech."""

from __future__ import annotations

import dataclasses

from sonograph.audio.recipes_of_speech import natspeech_spec, tacotron2_spec, voice_spec
from sonograph.registry import About, register
from sonograph.systems.speak.fastspeech.model import (
    Alignment,
    Config,
    FastSpeech,
    Losses,
    Stack,
    Variance,
)
from sonograph.systems.speak.fastspeech.objective import Pretraining
from sonograph.systems.speak.fastspeech.teacher import TransformerTTS


def build(config: Config) -> FastSpeech | TransformerTTS:
    """The model of a configuration: parallel, or the teacher that goes frame by frame."""
    return TransformerTTS(config) if config.decoding == "autoregressive" else FastSpeech(config)


def _fastspeech2(width: int, depths: tuple[int, int], hidden: int, dropout: float = 0.2) -> Config:
    """FastSpeech 2 as ming024 built it, in some size."""
    halves = [
        Stack(depth=depth, hidden=hidden, kernels=(9, 1), dropout=dropout) for depth in depths
    ]
    return Config(
        tokens=361,
        width=width,
        encoder=halves[0],
        decoder=halves[1],
        predictor_width=width,
        predictor_dropout=0.5,
        pitch=Variance("tokens"),
        energy=Variance("tokens"),
        losses=Losses(mel="l1"),
    )


@register("fastspeech-test", system="fastspeech", note="for tests: under a million parameters")
def test() -> Config:
    small = _fastspeech2(32, (1, 1), 64)
    return dataclasses.replace(
        small,
        features=voice_spec(),
        alphabet="arpabet",
        tokens=77,
        pitch=Variance("tokens", bins=16),
        energy=Variance("tokens", bins=16),
        alignment=Alignment("learned", hard_from=100, binarise_from=150),
    )


@register("fastspeech2-mini", system="fastspeech", note="FastSpeech 2 for minutes of speech")
def mini() -> Config:
    return dataclasses.replace(
        _fastspeech2(128, (2, 2), 512),
        features=voice_spec(),
        alphabet="arpabet",
        tokens=77,
        pitch=Variance("tokens", bins=64),
        energy=Variance("tokens", bins=64),
        alignment=Alignment("learned", hard_from=600, binarise_from=900),
    )
