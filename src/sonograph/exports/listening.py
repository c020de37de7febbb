"""Models that listen, with their front-end: a waveform in; vectors, scores or notes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.exports.ports import BATCH, Draw, Length, Port, Surface

if TYPE_CHECKING:
    from sonograph.nn.notes import Transcriber

WAVEFORM = "samples, full scale 1"


class Encoding(nn.Module):
    """waveform (b, n) -> vector (b, 2 rows width), tokens (b, tokens, width)."""

    def __init__(self, encoder: Any):
        super().__init__()
        self.frontend, self.encoder = Frontend(encoder.spec), encoder

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Tensor, Tensor]:
        tokens = self.encoder(self.frontend(waveform).values)
        return tokens.pool("statistics"), tokens.values


class Scoring(nn.Module):
    """waveform (b, n) -> scores (b, labels), 0 to 1."""

    def __init__(self, tagger: Any):
        super().__init__()
        self.frontend, self.tagger = Frontend(tagger.encoder.spec), tagger

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Tensor]:
        return (self.tagger.scores(self.tagger(self.frontend(waveform).values)),)


class Recognising(nn.Module):
    """waveform (b, n) -> who speaks (b, d), of length 1."""

    def __init__(self, speaker: Any):
        super().__init__()
        self.frontend, self.speaker = Frontend(speaker.spec), speaker

    def forward(self, waveform: Float[Tensor, "b n"]) -> tuple[Tensor]:
        return (self.speaker(self.frontend(waveform).values),)


class Transcribing(nn.Module):
    """mixture (b, channels, n) -> probabilities (b, t, keys) of onsets, and of notes that sound."""

    def __init__(self, transcriber: Transcriber):
        super().__init__()
        self.transcriber = transcriber

    def forward(self, mixture: Float[Tensor, "b channels n"]) -> tuple[Tensor, Tensor]:
        onset, frame = self.transcriber(mixture)
        return onset.sigmoid(), frame.sigmoid()


def encoder_surface(encoder: Any) -> Surface:
    return Surface(
        "encoder",
        Encoding(encoder),
        (_waveform(encoder.spec),),
        (
            Port("vector", (BATCH, 2 * encoder.grid[0] * encoder.width),
                 "mean, then deviation over time, of each row of tokens"),
            Port("tokens", (BATCH, "tokens", encoder.width),
                 f"{encoder.grid[0]} rows of tokens, the lowest first, each from begin to end"),
        ),
        _window(encoder.spec, encoder.config.frames),
        noises(),
        {"rate_hz": encoder.spec.rate_hz, "channels": 1},
    )  # fmt: skip


def tagger_surface(tagger: Any) -> Surface:
    spec = tagger.encoder.spec
    return Surface(
        "tagger",
        Scoring(tagger),
        (_waveform(spec),),
        (Port("scores", (BATCH, len(tagger.labels)), "of each label, 0 to 1"),),
        _window(spec, tagger.encoder.config.frames),
        noises(),
        {
            "rate_hz": spec.rate_hz,
            "channels": 1,
            "labels": list(tagger.labels),
            "answer": tagger.answer,  # one: the scores sum to 1; several: each is by itself
        },
    )


def speaker_surface(speaker: Any) -> Surface:
    spec, sizes = speaker.spec, speaker.config
    return Surface(
        "speaker",
        Recognising(speaker),
        (_waveform(spec),),
        (Port("vector", (BATCH, sizes.projection or sizes.embedding), "who speaks, of length 1"),),
        _window(spec, sizes.partial_frames),
        noises(),
        {"rate_hz": spec.rate_hz, "channels": 1},
        free=(BATCH,),  # torch.export takes an LSTM apart for one length
    )


def transcriber_surface(transcriber: Transcriber) -> Surface:
    notes, frames = transcriber.notes, "frames"
    shape = (BATCH, frames, notes.keys)
    hop = transcriber.hop_samples
    return Surface(
        "transcriber",
        Transcribing(transcriber),
        (Port("mixture", (BATCH, transcriber.channels, "samples"), WAVEFORM),),
        (
            Port("onset", shape, "probability that a note of each key begins"),
            Port("frame", shape, "probability that a note of each key sounds"),
        ),
        Length("samples", transcriber.window_samples, least=4 * hop),
        noises(transcriber.channels),
        {
            "rate_hz": transcriber.rate_hz,
            "channels": transcriber.channels,
            "hop_samples": hop,
            "notes": notes.to_dict(),
        },
    )


def noises(channels: int = 0) -> Draw:
    """Noise with a tone in it, each clip its own: (b, n), or (b, channels, n)."""

    def draw(clips: int, length: int, generator: torch.Generator) -> tuple[Tensor]:
        shape = (clips, channels, length) if channels else (clips, length)
        noise = torch.randn(shape, generator=generator)
        pitch = 0.5 * torch.rand((*shape[:-1], 1), generator=generator)
        return (0.05 * noise + 0.2 * torch.sin(pitch * torch.arange(length)),)

    return draw


def _waveform(spec: FeatureSpec) -> Port:
    return Port("waveform", (BATCH, "samples"), f"{WAVEFORM}, mono, {spec.rate_hz} Hz")


def _window(spec: FeatureSpec, frames: int) -> Length:
    """As `infer/windows.py` cuts; a quarter of it is long enough for any encoder's patches."""
    least = max(spec.samples(max(1, frames // 4)), spec.margin_samples + 1)
    return Length("samples", spec.samples(frames), least, spec.samples(frames))
