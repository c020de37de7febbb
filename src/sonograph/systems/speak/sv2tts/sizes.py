"""Sizes of the parts of SV2TTS: one `Config` for all of them, `part` says which it is."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from sonograph import config as base
from sonograph.audio.feature_spec import FeatureSpec, log_mel_spec
from sonograph.audio.speech_features import tacotron2_spec
from sonograph.errors import InputError


def ge2e_spec() -> FeatureSpec:
    """Mel powers without a logarithm, 25 ms every 10 ms: of RTVC and Resemblyzer (table A3).

    Zeros stand before the first frame, as with a librosa of today; theirs mirrored the sound.
    """
    plain = log_mel_spec(16000, 400, 160, 40, log="none")
    return plain.override(center="constant")


def paper_encoder_spec() -> FeatureSpec:
    """40 log-mel bands, 25 ms every 10 ms, as the paper says; floor and bounds are ours."""
    return log_mel_spec(16000, 400, 160, 40, log="ln", log_floor=1e-6)


def rtvc_spec() -> FeatureSpec:
    """RTVC's mel, of its synthesizer and its WaveRNN: decibels from -80 to 20 become -4 to 4.

    Pre-emphasis of 0.97, 50 ms every 12.5 ms, 55 to 7600 Hz. What lies above 20 dB is not cut here.
    """
    plain = log_mel_spec(16000, 800, 200, 80, high_hz=7600.0, log="db", log_floor=1e-4)
    return plain.override(low_hz=55.0, power=1.0, preemphasis=0.97, mean=-30.0, deviation=12.5)


@dataclasses.dataclass(frozen=True)
class Encoder(base.Config):
    """Sizes of a speaker encoder; the defaults are RTVC's and Resemblyzer's."""

    width: int = 256
    layers: int = 3
    projection: int = 0  # of every LSTM layer (the paper's 256); 0: none, but a layer at the end
    embedding: int = 256
    norm_eps: float = 1e-5  # added to the norm: RTVC 1e-5, Resemblyzer 0
    partial_frames: int = 160
    # how far apart partial windows of an utterance begin: "overlap" of a half (RTVC), or 1.3 a
    # second by "rate" (Resemblyzer)
    partials: Literal["overlap", "rate"] = "overlap"

    def __post_init__(self) -> None:
        if self.projection and self.projection != self.embedding:
            raise InputError(
                f"a projection of {self.projection} is the embedding itself: give {self.embedding}"
            )


@dataclasses.dataclass(frozen=True)
class Synthesis(base.Config):
    """Sizes that both synthesizers have; the defaults are those of one voice."""

    speaker: int = 0  # size of the vector beside every token; 0: one voice
    width: int = 512  # of tokens
    prenet: int = 256
    prenet_dropout: float = 0.5  # always on
    attention: int = 128
    filters: int = 32
    filter_kernel: int = 31
    postnet: int = 512
    most_frames: int = 1000  # where it stops if it does not say so itself
    compat: Literal["none", "published"] = "none"  # "published": padding is looked at


@dataclasses.dataclass(frozen=True)
class Tacotron2(Synthesis):
    """Sizes of a Tacotron 2; the defaults are NVIDIA's.

    compat: "published" lets convolutions look past a text's end, the post-net see unmasked frames,
    and takes losses as means over the padding too.
    """

    kernel: int = 5
    convolutions: int = 3
    dropout: float = 0.5  # between convolutions
    attention_lstm: int = 1024
    decoder_lstm: int = 1024
    lstm_dropout: float = 0.1
    postnet_kernel: int = 5
    postnet_layers: int = 5
    loss: Literal["mse", "mse and l1"] = "mse"  # of both mels; the paper adds the L1


@dataclasses.dataclass(frozen=True)
class Hybrid(Synthesis):
    """Sizes of RTVC's synthesizer, half a Tacotron 1 and half a Tacotron 2.

    attention: also of the GRU. compat: "published" lets padded tokens take part in the attention
    and CBHGs look past a text's end; a batch goes on until all of its texts are done.
    """

    speaker: int = 256
    most_frames: int = 2000
    encoder: int = 256
    bank: int = 5  # sizes of convolutions, in both CBHGs
    highways: int = 4
    decoder: int = 1024
    zoneout: float = 0.1
    postnet_bank: int = 5
    most_at_once: int = 20  # frames of a step that there are weights for
    at_once: int = 2  # frames of a step that are used

    def __post_init__(self) -> None:
        if not 1 <= self.at_once <= self.most_at_once:
            raise InputError(f"at_once is {self.at_once}: give 1 to {self.most_at_once} frames")


@dataclasses.dataclass(frozen=True)
class Upsampling(base.Config):
    """Features to one condition a sample: RTVC's, frames repeated and smoothed, in stages."""

    factors: tuple[int, ...] = (5, 5, 8)
    width: int = 128  # of the residual network beside
    blocks: int = 10
    context: int = 2  # frames to each side
    out: int = 128  # of the residual network, four equal parts


@dataclasses.dataclass(frozen=True)
class Samples(base.Config):
    """How the next sample is said: one of 2^bits mu-law steps, or a mixture of logistics."""

    kind: Literal["mu-law", "logistics"] = "mu-law"
    bits: int = 9
    mixtures: int = 10
    least_log_scale: float = -32.23619130191664  # ln 1e-14; of a logistic


@dataclasses.dataclass(frozen=True)
class Folding(base.Config):
    """Long sounds are made in pieces at once, which overlap and are cross-faded."""

    target: int = 8000
    overlap: int = 400


@dataclasses.dataclass(frozen=True)
class WaveRNN(base.Config):
    """Sizes of RTVC's WaveRNN."""

    width: int = 512
    hidden: int = 512
    divide: float = 4.0  # of features, before anything
    upsampling: Upsampling = Upsampling()
    samples: Samples = Samples()
    folding: Folding = Folding()


@dataclasses.dataclass(frozen=True)
class WaveNet(base.Config):
    """Sizes of a WaveNet: thirty layers as in the paper; everything else is our choice."""

    layers: int = 30
    cycle: int = 10  # layers after which dilations begin at 1 again
    width: int = 64
    gate: int = 128
    skip: int = 128
    divide: float = 4.0
    upsampling: Upsampling = Upsampling(width=64, blocks=4, out=64)
    samples: Samples = Samples("logistics", least_log_scale=-7.0)
    folding: Folding = Folding(8000, 1200)


@dataclasses.dataclass(frozen=True)
class Config(base.Config):
    """One part of the system; the sizes of the others are not used."""

    part: Literal["encoder", "tacotron2", "hybrid", "wavernn", "wavenet"] = "tacotron2"
    features: FeatureSpec = tacotron2_spec()
    alphabet: str = "arpabet"  # of those that speak
    tokens: int = 77
    encoder: Encoder = Encoder()
    tacotron2: Tacotron2 = Tacotron2()
    hybrid: Hybrid = Hybrid()
    wavernn: WaveRNN = WaveRNN()
    wavenet: WaveNet = WaveNet()

    def __post_init__(self) -> None:
        if self.tokens < 2:
            raise InputError(f"{self.tokens} tokens: padding and one more are needed")
        if self.part in ("wavernn", "wavenet"):
            factors = getattr(self, self.part).upsampling.factors
            if math.prod(factors) != self.features.hop_samples:
                raise InputError(
                    f"upsampling {factors} does not make a hop of {self.features.hop_samples}"
                )
