"""SpecTTTra: does a machine sing? Long songs in few tokens, of time and of frequency.

For whoever must tell generated songs from recorded ones. Rahman et al., "SONICS: Synthetic Or Not -
Identifying Counterfeit Songs", ICLR 2025. A ViT cuts a spectrogram into squares; this transformer
cuts it into T / t columns and F / f rows, so that two minutes are 1,376 tokens at the most instead
of 1,872. The ViT, ConvNeXt and EfficientViT that the paper compares with are here as well.

Published (F1 of the class synthetic; songs a second): 5 s 0.78 and 148, 120 s 0.97 and 47 (alpha).

Shapes: features (b, 128, frames) -> resized (b, bins, columns) -> temporal tokens (values, on the
grid (1, columns // t)) and spectral ones (special, bins // f of them) -> logits (b, 2).

Ours, where the paper is silent: its single logit z, that of synthetic, is answered as (0, z) for
(real, synthetic), whose softmax is (1 - sigmoid z, sigmoid z); a shorter clip is filled up with the
mean of the features; `refit` carries the weights to another length, which the paper does not do.
"""

from __future__ import annotations

import dataclasses

from sonograph.registry import About, register
from sonograph.systems.tag.spectttra.model import (
    Config,
    ConvNeXt,
    Detector,
    EfficientVit,
    SpecTTTra,
    ViT,
    build,
    features,
    loss,
    refit,
)
from sonograph.systems.tag.spectttra.published import (
    PUBLISHED_NAMES,
    READS_NOTES,
    UNUSED,
    config_from_published,
    from_published,
    is_published,
    load_published,
    published_features,
)

__all__ = [
    "ABOUT",
    "PUBLISHED_NAMES",
    "READS_NOTES",
    "UNUSED",
    "Config",
    "ConvNeXt",
    "Detector",
    "EfficientVit",
    "SpecTTTra",
    "ViT",
    "build",
    "config_from_published",
    "features",
    "from_published",
    "is_published",
    "load_published",
    "loss",
    "published_features",
    "refit",
]

# --- presets -------------------------------------------------------------------------------------


@register("spectttra-test", system="spectttra", note="for tests: under a million parameters")
def test() -> Config:
    return Config(width=48, depth=2, num_heads=2, frequency_clip=8, frames=40, size=(128, 32))


@register("spectttra-mini", system="spectttra", note="ours: 2 s, 32 tokens, one core")
def mini() -> Config:
    return Config(
        width=128, depth=4, num_heads=4, time_clip=4, frequency_clip=8, frames=63, size=(128, 64)
    )


@register("spectttra-vit-mini", system="spectttra", note="ours: the ViT of spectttra-mini's size")
def vit_mini() -> Config:
    return dataclasses.replace(mini(), kind="vit")


@register("spectttra-alpha-5s", system="spectttra", parameters=16_828_045, note="170 tokens")
def alpha_5s() -> Config:
    return Config()


@register("spectttra-beta-5s", system="spectttra", parameters=16_985_101, note="67 tokens")
def beta_5s() -> Config:
    return Config(time_clip=5, frequency_clip=3)


@register("spectttra-gamma-5s", system="spectttra", parameters=17_172_493, note="43 tokens")
def gamma_5s() -> Config:
    return Config(time_clip=7, frequency_clip=5)


def _long(config: Config) -> Config:
    return dataclasses.replace(config, frames=3751, size=(128, 3744))


@register("spectttra-alpha-120s", system="spectttra", parameters=18_679_693, note="1,376 tokens")
def alpha_120s() -> Config:
    return _long(alpha_5s())


@register("spectttra-beta-120s", system="spectttra", parameters=21_428_365, note="790 tokens")
def beta_120s() -> Config:
    return _long(beta_5s())


@register("spectttra-gamma-120s", system="spectttra", parameters=24_313_357, note="559 tokens")
def gamma_120s() -> Config:
    return _long(gamma_5s())


@register("spectttra-vit-5s", system="spectttra", parameters=16_688_653, note="baseline: ViT")
def vit_5s() -> Config:
    return Config(kind="vit")


@register("spectttra-vit-120s", system="spectttra", note="baseline: ViT, 1,872 tokens")
def vit_120s() -> Config:
    return _long(vit_5s())


@register("spectttra-convnext-5s", system="spectttra", note="baseline: ConvNeXt-T")
def convnext_5s() -> Config:
    return Config(kind="convnext", width=768)


@register("spectttra-convnext-120s", system="spectttra", note="baseline: ConvNeXt-T")
def convnext_120s() -> Config:
    return _long(convnext_5s())


# the count is that of timm's efficientvit_b2 for one channel, without classes, and one logit


@register(
    "spectttra-efficientvit-5s",
    system="spectttra",
    parameters=21_771_841,
    note="baseline: EfficientViT-B2",
)
def efficientvit_5s() -> Config:
    return Config(kind="efficientvit", stages=(1, 3, 4, 4, 6))


@register(
    "spectttra-efficientvit-120s",
    system="spectttra",
    parameters=21_771_841,
    note="baseline: EfficientViT-B2",
)
def efficientvit_120s() -> Config:
    return _long(efficientvit_5s())


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Tells recorded songs from generated ones, up to two minutes at once.",
    use=(
        "Published SONICS weights at hand: `sonograph.load` opens the official .bin files, "
        "`sonograph tag` says real or synthetic with a score.",
        "Long clips at little cost: tokens of whole columns and whole rows instead of squares.",
        "Labelled songs of your own: `sonograph train PRESET --data songs.csv --set task=NAME`, "
        "where the classes of NAME are real and synthetic.",
    ),
    avoid=(
        "Generators that came after Suno 3.5 and Udio 130, on which it was trained: their songs "
        "may pass for real.",
        "Speech, or music without voices: it was trained on songs.",
        "Without its weights: a preset alone is untrained and guesses.",
        "Trained without labels, as `sonograph train` does by itself, it knows recordings from the "
        "same ones sent through Griffin-Lim, Opus, MP3 or Vorbis at low rates: no songs of Suno or "
        "Udio, nor anything else that generates.",
    ),
    paper="Md Awsafur Rahman, Zaber Ibn Abdul Hakim, Najibul Haque Sarker, Bishmoy Paul, Shaikh "
    "Anowarul Fattah, ICLR 2025",
    figures=(
        "5 s: F1 0.78 (alpha), 0.78 (beta), 0.76 (gamma)",
        "120 s: F1 0.97 (alpha), 0.92 (beta), 0.88 (gamma)",
        "120 s, alpha, against ViT: F1 + 8 %, 38 % faster, 26 % less memory",
        "120 s, alpha, against ConvNeXt: F1 + 1 %, 20 % faster, 67 % less memory",
    ),
    code_licence="MIT",
    weights_licence="published with the code; trained on SONICS (CC BY-NC 4.0)",
    deviations=(
        "`top_db` is taken from each clip's own loudest value; `published_features` takes it from "
        "the batch, as the official code does.",
        "A clip shorter than the model's length is filled up with the mean of its features, after "
        "they were normalised; the official code adds silence before.",
        "Sounds longer than the model's length are heard in windows that overlap by half, and the "
        "answers averaged; the official evaluation takes one crop.",
        "`refit` stretches SpecTTTra's weights to another length: ours, to be fine-tuned after.",
        "ConvNeXt-T and EfficientViT-B2 take one channel; their files, by timm's names, tell no "
        "length: without a configuration they are of 5 s. The claims are beside ViT and ConvNeXt "
        "alone.",
        "The songs of SONICS cannot be had freely: without labels the recipe makes synthetic sound "
        "itself, by Griffin-Lim and codecs. The claim about F1 is of that, not of songs; there "
        "always answering synthetic has an F1 of 2/3, so read it beside the accuracy.",
        "The recipe's epochs are of 70 % of the 97,000 songs, its warm-up starts at 0 instead of "
        "1e-6, its rate falls with every update instead of every epoch, its precision is bf16, "
        "and its filter for songs with vocals is left to the data.",
        "Activation memory is counted as bytes kept for the backward pass; which memory the paper "
        "measures is not said.",
        "The presets `spectttra-test`, `spectttra-mini` and `spectttra-vit-mini` are ours, and so "
        "is their recipe: 2 s, 600 updates.",
    ),
    faults=(
        "The features of a clip depend on the loudest clip of its batch.",
        "Rows and columns that are left over at the end of the map are not seen.",
        "The configuration key `normalize: true` is not read; the min-max normaliser has minimum "
        "and maximum swapped.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("sonics",),
    checks=("tests/parity/test_spectttra_transformers.py",),
)
