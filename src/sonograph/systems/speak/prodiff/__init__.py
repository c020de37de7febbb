"""ProDiff: speech by diffusion in four steps, or two: the network says clean mels, not noise.

For whoever wants the detail of a generative model at nearly the speed of one that guesses.
Huang, Zhao, Liu, Liu, Cui and Ren, "ProDiff: Progressive Fast Diffusion Model For High-Quality
Text-to-Speech", ACM Multimedia 2022. A FastSpeech 2 without its decoder says what each frame is of
(phone, pitch, energy); a denoiser (DiffNet, nn/diffnet.py) makes mels of noise, told by it.

    teacher:  x_t = a_t x_0 + s_t eps;  L1 and similarity of f(x_t, t) and x_0;  t of 0 .. 4
    student:  two DDIM steps of the teacher, x_t -> x_{t-1} -> x_{t-2}, in one of its own

Published: speech 24 times faster than real time on one 2080 Ti with two steps, at the quality of
models that take hundreds.

Shapes: b texts, n tokens, t frames; features (b, rows, t).

Ours, where the paper is silent: sampling is plain DDIM over the levels that distillation goes
through, from the noisiest one (4, 3, 2, 1 for a teacher, 4, 2 for its student); noise belongs to
the seed and the frame, not to the row of the batch; features other than the official ones are
normalised first; without durations an aligner learns along.
"""

from __future__ import annotations

import dataclasses

from sonograph.audio.speech_features import voice_spec
from sonograph.nn.alignment import Alignment
from sonograph.registry import About, register
from sonograph.systems.speak.prodiff.model import Config, ProDiff, Read, student_of
from sonograph.systems.speak.prodiff.objective import (
    Distillation,
    Pretraining,
    energy_of,
    pitch_of,
)
from sonograph.systems.speak.prodiff.published import (
    PUBLISHED_NAMES,
    UNUSED,
    buffers_of,
    config_from_published,
    from_published,
    is_published,
    load_published,
    to_published,
)

__all__ = [
    "ABOUT",
    "PUBLISHED_NAMES",
    "UNUSED",
    "Config",
    "Distillation",
    "Pretraining",
    "ProDiff",
    "Read",
    "buffers_of",
    "build",
    "config_from_published",
    "energy_of",
    "from_published",
    "is_published",
    "load_published",
    "pitch_of",
    "student_of",
    "to_published",
]


def build(config: Config) -> ProDiff:
    return ProDiff(config)


# --- presets -------------------------------------------------------------------------------------


@register("prodiff-test", system="prodiff", note="for tests: under a million parameters")
def test() -> Config:
    return dataclasses.replace(
        mini(),
        width=32,
        encoder_depth=1,
        channels=32,
        blocks=3,
        alignment=Alignment("learned", 100, 150),
    )


@register("prodiff-mini", system="prodiff", note="ours: four steps, for minutes of speech")
def mini() -> Config:
    return Config(
        features=voice_spec(),
        alphabet="arpabet",
        tokens=77,
        width=128,
        encoder_depth=2,
        energy_most=8.0,
        blocks=8,
        channels=128,
        mean=-5.0,
        deviation=2.0,
        alignment=Alignment("learned", 600, 900),
    )


@register(
    "prodiff-teacher",
    system="prodiff",
    parameters=28_502_870,
    note="four steps; 28,523,430 with a projection that nothing asks",
)
def teacher() -> Config:
    return Config()


@register("prodiff", system="prodiff", parameters=28_502_870, note="its student: two steps")
def student() -> Config:
    return Config(stride=2)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Text to speech by diffusion in four steps or two, with pace, pitch and energy to set.",
    use=(
        "Speech that varies and is not blurred, at a few passes of one network.",
        "Pace, pitch or energy of single words is to be set: they are as in FastSpeech 2.",
        "Recordings with texts and no aligner at hand: durations are learned along.",
        "Published ProDiff weights at hand, teacher or student: `sonograph.load` opens them.",
    ),
    avoid=(
        "One pass has to do: FastSpeech 2 costs a fraction of it.",
        "The smallest voice: PortaSpeech has a quarter of the weights.",
        "Minutes of training: the denoiser learns slower than a decoder that guesses.",
    ),
    paper="Rongjie Huang, Zhou Zhao, Huadai Liu, Jinglin Liu, Chenye Cui, Yi Ren, ACM MM 2022",
    figures=(
        "two steps are on the level of models that take hundreds",
        "24 times faster than real time on one NVIDIA 2080 Ti",
    ),
    code_licence="MIT",
    weights_licence="released with the code under MIT; trained on LJSpeech (public domain)",
    deviations=(
        "Sampling is DDIM over the levels that were learned, from the noisiest one on; "
        '`sampling="published"` is the official way, to the bit of its noise.',
        "Padding changes nothing: predictors and denoiser do not look past a text's end, and noise "
        'depends on seed and frame alone. `compat="published"` lets them look.',
        "Mean and deviation of F0 stand in no official file of weights: give them "
        "(`config_from_published`), or 200 and 60 Hz are taken.",
        "Own recordings: features are normalised before diffusion, the table of energies ends "
        "where the corpus does, durations come from the learned aligner.",
        "The loss of words takes words as the text has them, not what lies between silences.",
        "The student of a student asks its teacher at the numbers that one has learned; official "
        "code asks at others.",
        "FastDiff, the vocoder of the official repository, is not built.",
        "Presets `prodiff-test` and `-mini` are ours, at 16 kHz.",
        "In our claims (docs/claims.md) networks that say noise, after 500 updates, fail at 100 "
        "steps as they do at 4: it shows how much longer they have to learn, and nothing of what "
        "the number of steps does to one that has learned.",
    ),
    faults=(
        "The teacher learns level 4 and never samples from it; pure noise is taken for level 3.",
        "The student's first step goes over two levels with the posterior of one.",
        "The script that speaks builds the student with four steps of one level and keeps them; "
        "the training code samples with two.",
        "An energy that is predicted below 0 is looked up outside of its table.",
        "Energy is the exponential of a mel that is a decimal logarithm. Kept, for the weights.",
        "Padding is looked at by pitch, energy and the denoiser.",
        "`mel_out` is in the files and nothing asks it; without the corpus's F0 file nothing runs.",
    ),
    verbs=("train", "speak"),
    golden=("ProDiff",),
    checks=("tests/nn/test_diffnet.py",),
)
