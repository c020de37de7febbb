"""FastSpeech and FastSpeech 2: a text becomes a spectrogram in one pass, word by word as you wish.

For whoever wants speech fast and under control: no frame waits for the one before it, no word is
skipped or said twice, pace, pitch and loudness can be set for every word. Ren, Ruan, Tan, Qin,
Zhao, Zhao and Liu, "FastSpeech: Fast, Robust and Controllable Text to Speech", NeurIPS 2019: an
encoder over tokens, a length regulator that repeats each token for as many frames as it lasts, a
decoder over frames (figure 1). Durations and mels come from an autoregressive teacher
(`teacher.py`). FastSpeech 2 (Ren et al., ICLR 2021) does without it: real mels, durations from an
aligner, pitch and energy predicted beside them: pitch in bins, or as wavelets of its logarithm.

Published on LJSpeech: MOS 3.84 against 3.88 of the teacher and 4.00 of real mels through the same
vocoder; mels 270 times as fast as the teacher's, speech 38 times; on 50 hard sentences 0 errors
against 34 %. FastSpeech 2: MOS 3.83.

Shapes: tokens (b, n), durations (b, n) in frames, features (b, rows, t), t = sum of durations.

Ours, where the papers are silent: without labels durations come from an aligner that learns along
(`Alignment`); the pitch of a token is the mean over its voiced frames; paces are exact for the
whole text, because ends are rounded and not durations; padding changes nothing.
"""

from __future__ import annotations

import dataclasses

from sonograph.audio.speech_features import natspeech_spec, voice_spec
from sonograph.losses.acoustic import Losses
from sonograph.nn.alignment import Alignment
from sonograph.registry import About, register
from sonograph.systems.speak.fastspeech.model import (
    Config,
    FastSpeech,
    Stack,
)
from sonograph.systems.speak.fastspeech.objective import Pretraining
from sonograph.systems.speak.fastspeech.published import (
    NATSPEECH_LOSSES,
    config_from_published,
    from_published,
    is_published,
)
from sonograph.systems.speak.fastspeech.teacher import TransformerTTS
from sonograph.systems.speak.fastspeech.variance import Variance

__all__ = [
    "ABOUT",
    "Alignment",
    "Config",
    "FastSpeech",
    "Losses",
    "Pretraining",
    "Stack",
    "TransformerTTS",
    "Variance",
    "build",
    "config_from_published",
    "from_published",
    "is_published",
]


def build(config: Config) -> FastSpeech | TransformerTTS:
    """The model of a configuration: parallel, or the teacher that goes frame by frame."""
    return TransformerTTS(config) if config.decoding == "autoregressive" else FastSpeech(config)


# --- presets -------------------------------------------------------------------------------------


def _fastspeech2(width: int, depths: tuple[int, int], hidden: int, bins: int) -> Config:
    """FastSpeech 2 as ming024 built it, in some size and without its post-net."""
    first, second = (
        Stack(depth=depth, hidden=hidden, kernels=(9, 1), dropout=0.2) for depth in depths
    )
    return Config(
        alphabet="ming024",
        tokens=361,
        width=width,
        encoder=first,
        decoder=second,
        predictor_width=width,
        predictor_dropout=0.5,
        pitch=Variance("tokens", bins=bins),
        energy=Variance("tokens", bins=bins),
        losses=Losses(mel="l1"),
    )


def _ours(config: Config, hard_from: int, binarise_from: int) -> Config:
    """For recordings without labels: English phones, our features, the aligner."""
    return dataclasses.replace(
        config,
        features=voice_spec(),
        alphabet="arpabet",
        tokens=77,
        alignment=Alignment("learned", hard_from, binarise_from),
    )


@register("fastspeech-test", system="fastspeech", note="for tests: under a million parameters")
def test() -> Config:
    return _ours(_fastspeech2(32, (1, 1), 64, 16), 100, 150)


@register("fastspeech2-mini", system="fastspeech", note="FastSpeech 2 for minutes of speech")
def mini() -> Config:
    return _ours(_fastspeech2(128, (2, 2), 512, 64), 600, 900)


@register("fastspeech2-base", system="fastspeech", note="the published size, for own recordings")
def base() -> Config:
    return _ours(_fastspeech2(256, (4, 6), 1024, 256), 6000, 18000)


def _waved(config: Config) -> Config:
    """With the pitch of the paper's second version: wavelets of frames."""
    return dataclasses.replace(config, pitch=Variance("frames"), pitch_code="wavelet")


@register("fastspeech2-wavelet-test", system="fastspeech", note="for tests: pitch by wavelets")
def wavelet_test() -> Config:
    return _waved(test())


@register("fastspeech2-wavelet-mini", system="fastspeech", note="the mini with pitch by wavelets")
def wavelet_mini() -> Config:
    return _waved(mini())


@register("fastspeech2-wavelet", system="fastspeech", note="the base with pitch by wavelets")
def wavelet() -> Config:
    return _waved(base())


@register("fastspeech", system="fastspeech", parameters=50_542_929, note="the paper's, kernels 3")
def paper() -> Config:
    return Config()


@register("fastspeech-31", system="fastspeech", parameters=36_387_153, note="kernels 3 and 1")
def paper_31() -> Config:
    half = Stack(kernels=(3, 1))
    return Config(encoder=half, decoder=half)


@register("fastspeech-teacher", system="fastspeech", note="the autoregressive Transformer TTS")
def autoregressive() -> Config:
    return Config(decoding="autoregressive", postnet="tacotron2")


@register("fastspeech-teacher-mini", system="fastspeech", note="a teacher for minutes of speech")
def autoregressive_mini() -> Config:
    half = Stack(depth=2, hidden=256)
    small = Config(
        decoding="autoregressive", width=128, encoder=half, decoder=half, predictor_width=128
    )
    return dataclasses.replace(_ours(small, 0, 0), alignment=Alignment())


@register("fastspeech-student-mini", system="fastspeech", note="FastSpeech, taught by that teacher")
def student_mini() -> Config:
    half = Stack(depth=2, hidden=256)
    small = Config(width=128, encoder=half, decoder=half, predictor_width=128)
    return dataclasses.replace(_ours(small, 0, 0), alignment=Alignment())


@register("fastspeech-xcmyz", system="fastspeech", note="xcmyz/FastSpeech, 300 characters")
def xcmyz() -> Config:
    half = Stack(depth=4, hidden=1024, kernels=(9, 1), first_position=1)
    return Config(
        alphabet="xcmyz",
        tokens=300,
        width=256,
        encoder=half,
        decoder=half,
        predictor_width=256,
        durations="relu",
        postnet="cbhg",
        losses=Losses(duration="l1"),
    )


@register("fastspeech2-ming024", system="fastspeech", parameters=34_646_339, note="LJSpeech")
def ming024() -> Config:
    return dataclasses.replace(_fastspeech2(256, (4, 6), 1024, 256), postnet="tacotron2")


@register("fastspeech-natspeech", system="fastspeech", parameters=19_543_633, note="80 phones")
def natspeech() -> Config:
    return Config(
        features=natspeech_spec(),
        alphabet="NATSpeech",
        tokens=80,
        width=256,
        embedding_scale="root of width",
        encoder=Stack("relative", 4, 1024, (9, 1), dropout=0.0),
        decoder=Stack("convolutions", 4, 512, (5, 3), dropout=0.0),
        predictor_width=256,
        predictor_dropout=0.5,
        predictor_gradient=0.1,
        durations="softplus",
        pitch_code="mel",
        losses=NATSPEECH_LOSSES,
    )


@register("fastspeech2-natspeech", system="fastspeech", parameters=25_378_143, note="wavelets")
def natspeech_wavelets() -> Config:
    half = Stack("pre-norm", 4, 1024, (9, 1), dropout=0.1)
    return dataclasses.replace(
        natspeech(),
        encoder=half,
        decoder=half,
        pitch=Variance("frames"),
        pitch_code="wavelet",
        losses=dataclasses.replace(NATSPEECH_LOSSES, mel="l1"),
    )


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Text to spectrogram in one pass, with pace, pitch and energy set for every word.",
    use=(
        "A voice of one's own from an hour of recordings with text or less: no labels of phones, "
        "no aligner from outside are needed.",
        "Speech that has to come at once, or in quantity: a second of it costs milliseconds.",
        "Words are to be slower, higher or louder than others.",
        "Recordings with text are to be checked: `suspicions` lists transcripts that do not fit.",
        "Times of phones are wanted and nobody has labelled any: of the boundaries that the "
        "learned aligner finds, more than half lie within 20 ms of labelled ones, nine in ten "
        "within 50 ms (measured below; a teacher's attention was not).",
    ),
    avoid=(
        "The last bit of naturalness counts: predicted pitch and duration are averages, and sound "
        "like it; PortaSpeech and ProDiff draw from a distribution.",
        "There are no transcripts, or the voice is to be copied from seconds of sound: SV2TTS.",
        "Minutes of training have to do for teacher and student: the student loses its place in "
        "fewer hard sentences, but neither is understood (measured below); FastSpeech 2 with its "
        "aligner needs no teacher.",
    ),
    paper="Yi Ren, Yangjun Ruan, Xu Tan, Tao Qin, Sheng Zhao, Zhou Zhao, Tie-Yan Liu, NeurIPS 2019",
    figures=(
        "MOS on LJSpeech: 3.84, the autoregressive teacher 3.88, real mels and vocoder 4.00",
        "mel generation 269 times as fast as the teacher's (6.735 s against 0.025 s)",
        "end to end with WaveGlow 38 times as fast (6.895 s against 0.180 s)",
        "errors on 50 hard sentences: 0 %, Transformer TTS 34 %, Tacotron 2 24 %",
    ),
    code_licence="no official code; xcmyz/FastSpeech, ming024/FastSpeech2 and NATSpeech are MIT",
    weights_licence="of the community checkpoints: MIT code, trained on LJSpeech (public domain)",
    deviations=(
        "Durations of own recordings come from the learned aligner of RAD-TTS, not from a teacher "
        "or the Montreal aligner; `alignment.source=given` takes any others.",
        "Pitch of a token is the mean over its voiced frames, tokens without voice count as the "
        "mean of all; ming024 interpolates over unvoiced frames.",
        "Pitch by wavelets, the paper's second version, is as NATSpeech has it where the paper "
        "leaves it open: ten scales of 2 to 1024 frames, however long a frame is; rows weighted "
        "on the way back only; absolute errors of rows, mean and deviation; 0.8 of the predicted "
        "deviation is spoken. Ours: gaps are straight in octaves, not in Hz; beyond its ends a "
        "contour is 0; padding is not counted; a clip without voice teaches no pitch. NATSpeech's "
        "energy beside it is not built.",
        "The normalised pitch is multiplied in Hz, not as a z-score; ends of tokens are rounded, "
        "so that a pace is exact; padding is masked everywhere. `compat=published` does as ming024 "
        "and NATSpeech do.",
        "The teacher's convolutions are causal and its layers normalise after the sum; sizes of "
        "its pre-nets and post-net are ours, the paper gives none. It learns by guided attention "
        "too, which the paper does not mention.",
        "CTC forced alignment was measured twice, and the second is on record: with one start "
        "each, one seed of three stayed where all is blank, which came out inconclusive; now the "
        "listener begins with the best of three by its training loss, all else as it was.",
        "The projection that xcmyz's CBHG carries and never uses is left out.",
        "Presets `-test`, `-mini` and `-base` are ours: English phones, 16 kHz, no post-net.",
        "NATSpeech's recurrent and WaveNet halves are not built.",
    ),
    faults=(
        "ming024: the factor of pitch multiplies energy, the one of energy does nothing.",
        "ming024: the second convolution of predictors has a padding of 1 whatever its kernel; the "
        "post-net sees, and answers for, frames past the end.",
        "ming024: durations from an aligner outside, whose versions differ: slices go missing.",
        "NATSpeech: padding is found by looking for zeros; the word loss is NaN where a batch has "
        "no silence; pitch predictors see past the end.",
        "NATSpeech: wavelets reach around the ends of a clip that is filled up to a power of two; "
        "mean and deviation of a spoken contour, and what its text is averaged to, count the "
        "padding of the batch.",
    ),
    picture="Where the phones of a held-out sentence end: by labels (white), by the learned "
    "aligner and by CTC, neither of which was ever told a time. Below: boundaries of all held-out "
    "sentences, by how far they lie off.",
    verbs=("train", "speak"),
    golden=("FastSpeech (NATSpeech)", "FastSpeech 2 (community)", "RAD-TTS aligner"),
    checks=(
        "tests/parity/test_fastspeech_transformers.py",
        "tests/parity/test_pitch_praat.py",
        "tests/parity/test_pitch_wavelets.py",
        "tests/nn/test_monotonic.py",
    ),
)
