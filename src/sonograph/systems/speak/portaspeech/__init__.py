"""PortaSpeech: a small voice that speaks all at once, with the detail of a generative model.

For whoever wants a voice on a small device that does not sound blurred.
Ren, Liu and Zhao, "PortaSpeech: Portable and High-Quality Generative Text-to-Speech", NeurIPS 2021.
Three parts (figure 1): the text, aligned hard by words and softly within them (mixture alignment);
a variational autoencoder over four frames at a time, whose prior is a small flow; a flow as
post-net, which adds the fine structure that the autoencoder smooths away.

    phones -> encoder -> mean of each word -> word encoder, spread over the word's frames
    frame  -> attention over the phones of its own word -> text features h
    z ~ flow prior(h), mel' = decoder(z, h);  noise -> inverse post-net (mel', h) -> mel

Published: the best MOS of the models compared at 21.8 M weights, and with 6.7 M, four times fewer
and a third of the memory of FastSpeech 2, only slightly below.

Shapes: b texts, n tokens, w words, t frames, a multiple of four; features (b, rows, t).

Ours, where the paper is silent: tokens of a word share its frames in proportion to their predicted
durations, which is only told to the user (frames look at all phones of their word); noise belongs
to the seed and the frame, not to the row of the batch, so that a text sounds the same alone and
among others; without durations an aligner learns along, and words get the sums of its tokens'.
"""

from __future__ import annotations

from sonograph.audio.speech_features import voice_spec
from sonograph.nn.frame_noise import noise_of
from sonograph.registry import About, register
from sonograph.systems.speak.portaspeech.model import (
    STRIDE,
    Config,
    PortaSpeech,
    Read,
    parameters_to_speak,
)
from sonograph.systems.speak.portaspeech.objective import (
    Pretraining,
    Schedule,
    begin_at,
    duration_loss,
    flow_loss,
)
from sonograph.systems.speak.portaspeech.published import (
    PUBLISHED_NAMES,
    UNUSED,
    config_from_published,
    from_published,
    is_published,
    load_published,
    to_published,
)

__all__ = [
    "ABOUT",
    "PUBLISHED_NAMES",
    "STRIDE",
    "UNUSED",
    "Config",
    "PortaSpeech",
    "Pretraining",
    "Read",
    "Schedule",
    "begin_at",
    "build",
    "config_from_published",
    "duration_loss",
    "flow_loss",
    "from_published",
    "is_published",
    "load_published",
    "noise_of",
    "parameters_to_speak",
    "to_published",
]


def build(config: Config) -> PortaSpeech:
    return PortaSpeech(config)


# --- presets -------------------------------------------------------------------------------------


@register("portaspeech-test", system="portaspeech", note="for tests: under a million parameters")
def test() -> Config:
    return mini().override(
        width=32,
        encoder_inner=64,
        encoder_depth=1,
        word_depth=1,
        vae_width=32,
        posterior_layers=2,
        decoder_layers=1,
        prior_width=16,
        prior_layers=1,
        prior_couplings=2,
        post_width=32,
        post_layers=1,
        post_steps=2,
    )


@register(
    "portaspeech-mini",
    system="portaspeech",
    parameters=2_573_569,
    note="ours: learns in minutes, at 16 kHz",
)
def mini() -> Config:
    return Config(
        features=voice_spec(),
        alphabet="arpabet",
        tokens=77,
        width=96,
        encoder_inner=384,
        encoder_kernel=3,
        encoder_depth=2,
        word_depth=2,
        duration_layers=2,
        duration_kernel=3,
        vae_width=96,
        vae_kernel=3,
        posterior_layers=4,
        decoder_layers=2,
        prior_width=32,
        prior_layers=2,
        post_width=96,
        post_layers=2,
        post_steps=4,
    )


@register(
    "portaspeech-small",
    system="portaspeech",
    parameters=8_157_489,
    note="6,764,945 without the encoder that only training needs",
)
def small() -> Config:
    return Config(
        width=128,
        encoder_inner=512,
        encoder_kernel=3,
        encoder_depth=3,
        word_depth=3,
        vae_width=128,
        vae_kernel=3,
        decoder_layers=3,
        prior_width=32,
        prior_layers=3,
        post_width=128,
        post_steps=8,
        post_noise=0.6,
    )


@register(
    "portaspeech-normal",
    system="portaspeech",
    parameters=25_979_009,
    note="21,739,809 without the encoder that only training needs",
)
def normal() -> Config:
    return Config()


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="A small text-to-speech model with an autoencoder for the voice and a flow for detail.",
    use=(
        "A voice that has to be small: 6.7 M weights in the small model, all of a text at once.",
        "Speech that varies: each seed says the same text a little differently.",
        "Recordings with texts and no aligner at hand: durations are learned along.",
        "Published PortaSpeech weights at hand: `sonograph.load` opens the official files.",
    ),
    avoid=(
        "Pitch or loudness of single words is to be set: FastSpeech 2 has controls, this only a "
        "pace.",
        "Durations of single phones are needed exactly: they are predicted by words.",
        "Minutes of training: the post-net learns only after everything else has. Measured here "
        "after 280 updates (docs/claims.md), its mels had too much detail where FastSpeech 2's had "
        "too little, and lay nearly half as far again from the recordings.",
    ),
    paper="Yi Ren, Jinglin Liu, Zhou Zhao, NeurIPS 2021",
    figures=(
        "21.8 M weights (normal) and 6.7 M (small); FastSpeech 2 as its authors count it 27.0 M",
        "small: 4.0 times fewer weights and about a third of the memory of FastSpeech 2, with a "
        "slight loss of quality",
    ),
    code_licence="MIT",
    weights_licence="released with the code under MIT; trained on LJSpeech (public domain)",
    deviations=(
        "The configurations of the paper are built (`ps_flow_nips2021` and its small one), not the "
        "later ones with word embeddings and plain convolutions.",
        "Both flows respect padding in sampling, so that texts of a batch do not touch each "
        'other; `compat="published"` samples as the official code, which allows one text at a '
        "time. The post-net's likelihood leaves padding out, and the similarity too.",
        "Lengths are given, not read off zeros in the input.",
        "Noise depends on seed and frame alone, not on the row of the batch.",
        "Durations of tokens are told in proportion to the predicted ones; the model itself has "
        "words only.",
        "Gated layers that steps of the post-net share are kept once; files that hold them "
        "repeated are checked for equality.",
        "Presets `portaspeech-test` and `-mini` are ours, at 16 kHz.",
    ),
    faults=(
        "In training the log-determinant of each clip is divided by the lengths of all clips of "
        "the batch in turn, and padding counts in the other half of the likelihood.",
        "In sampling the prior flow and the post-net ignore padding.",
        "Padding is found as what is exactly zero, in text encodings and mels.",
        "The setting `prior_flow_n_blocks` is the number of layers of a coupling; there are always "
        "four couplings.",
        "Frames that do not make up four are cut off, a word that is predicted to last less than "
        "half a frame is not spoken. Both are done here as well, but for a text shorter than four.",
    ),
    verbs=("train", "speak"),
    golden=("PortaSpeech",),
    checks=("tests/parity/test_portaspeech_vits.py",),
)
