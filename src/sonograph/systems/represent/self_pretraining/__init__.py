"""Never Train from Scratch: pre-train on the task's own inputs, with the label left out.

For whoever compares architectures on long sequences, or has a task and no other data: hide half of
the training inputs, learn to fill them in, then fine-tune on the same inputs. A protocol, and the
encoders that it was shown on: Transformers (full and windowed), state spaces (S4 and S4D); Mamba
stands beside them. Amos, Berant and Gupta, "Never Train from Scratch: Fair Comparison of
Long-Sequence Models Requires Data-Driven Priors", ICLR 2024.

Published: self-pre-trained, a plain Transformer matches S4 on the Long Range Arena (average about
86 with rotary positions, 54 without both), and S4 gains 20 points on PathX-256.

Shapes: features (b, rows, n) -> tokens (b, n, d), one for each place of a sequence: a sample of a
waveform, a pixel, a token id (rows = 1), or a frame of a spectrogram (rows = bins).

Ours: a hidden input is the value 0 with its flag set, so that all hidden ones are one vector (the
flag's column plus the bias); that vector is learned itself (`Pretraining.hidden`), the encoder has
no flag column, and any encoder of the house can be pre-trained this way. Padding is masked (and
batch norm counts a clip's own tokens alone). Token ids have an embedding and fixed sinusoids; the
masked one is not in the vocabulary but that same vector.
"""

from __future__ import annotations

import dataclasses

from sonograph.audio.feature_spec import waveform_spec
from sonograph.registry import About, register
from sonograph.systems.represent.self_pretraining.model import (
    Config,
    Residual,
    SequenceEncoder,
    TokenBatchNorm,
)
from sonograph.systems.represent.self_pretraining.objective import LEVELS, Pretraining
from sonograph.systems.represent.self_pretraining.published import (
    config_from_published,
    fill,
    from_published,
    is_published,
    load_published,
    refit,
)

__all__ = [
    "ABOUT",
    "LEVELS",
    "Config",
    "Pretraining",
    "Residual",
    "SequenceEncoder",
    "TokenBatchNorm",
    "build",
    "config_from_published",
    "fill",
    "from_published",
    "is_published",
    "load_published",
    "refit",
]


def build(config: Config) -> SequenceEncoder:
    return SequenceEncoder(config)


# --- presets -------------------------------------------------------------------------------------

# The Transformers count as published without the map of the inputs: 2 d numbers more here, or an
# embedding. Of the state spaces no count is published.


@register("self-pretraining-test", system="self_pretraining", note="for tests: few parameters")
def test() -> Config:
    spec = waveform_spec(500)
    return Config(width=48, depth=2, positions="rotary", frames=200, features=spec)


@register("self-pretraining-digits", system="self_pretraining", note="ours: S4, 16 x 16 pixels")
def digits() -> Config:
    return Config(
        mixer="space",
        width=32,
        depth=2,
        states=16,
        groups=2,
        order="post",
        form="nplr",
        objective="level",
        frames=256,
        features=waveform_spec(500),
    )


@register("self-pretraining-transformer", system="self_pretraining", note="the claim's, rotary")
def transformer() -> Config:
    return Config(width=32, depth=2, num_heads=2, positions="rotary", frames=256)


@register("self-pretraining-s4d", system="self_pretraining", note="the claim's, both directions")
def s4d() -> Config:
    return Config(mixer="space", width=32, depth=2, states=32, frames=256)


@register("self-pretraining-mamba", system="self_pretraining", note="the claim's, both directions")
def mamba() -> Config:
    return Config(mixer="mamba", width=32, depth=2, states=4, expand=1, frames=256)


@register("self-pretraining-image", system="self_pretraining", parameters=100_672, note="LRA")
def image() -> Config:
    return Config()


@register("self-pretraining-pathfinder", system="self_pretraining", parameters=398_848, note="LRA")
def pathfinder() -> Config:
    return Config(width=128, depth=4, num_heads=8, expand=1, objective="level")


@register("self-pretraining-pathx", system="self_pretraining", parameters=398_848, note="PathX-128")
def pathx() -> Config:
    return dataclasses.replace(pathfinder(), num_heads=4, window=4096, frames=16_384)


@register(
    "self-pretraining-pathx-256", system="self_pretraining", parameters=1_586_688, note="PathX-256"
)
def pathx_256() -> Config:
    return dataclasses.replace(pathx(), depth=8, expand=4, window=8192, frames=65_536)


@register("self-pretraining-listops", system="self_pretraining", parameters=18_923_520, note="LRA")
def listops() -> Config:
    return Config(
        width=512,
        depth=6,
        num_heads=8,
        expand=4,
        positions="sinusoids",
        vocabulary=16,
        frames=2048,
    )


@register("self-pretraining-text", system="self_pretraining", parameters=19_046_400, note="IMDB")
def text() -> Config:
    return dataclasses.replace(listops(), vocabulary=256, frames=4096, mask_share=0.15)


@register("self-pretraining-retrieval", system="self_pretraining", parameters=826_112, note="AAN")
def retrieval() -> Config:
    config = dataclasses.replace(text(), width=128, depth=4, num_heads=4, frames=4000)
    return dataclasses.replace(config, mask_share=0.15)


@register(
    "self-pretraining-speech", system="self_pretraining", parameters=398_848, note="one second"
)
def speech() -> Config:
    return dataclasses.replace(
        pathx(), window=4000, positions="rotary", frames=16_000, objective="value"
    )


@register("self-pretraining-image-s4", system="self_pretraining", note="LRA")
def image_s4() -> Config:
    return Config(
        mixer="space", width=512, depth=6, groups=2, order="post", dropout=0.1, form="nplr"
    )


@register("self-pretraining-pathx-s4", system="self_pretraining", note="PathX-128")
def pathx_s4() -> Config:
    return Config(
        mixer="space",
        width=256,
        depth=6,
        norm="batch",
        form="nplr",
        steps=(1e-4, 0.1),
        objective="level",
        frames=16_384,
    )


@register("self-pretraining-speech-s4", system="self_pretraining", note="one second")
def speech_s4() -> Config:
    return Config(mixer="space", width=128, depth=6, groups=64, form="nplr", frames=16_000)


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="Learns to fill in the hidden half of a task's own inputs, then the task itself.",
    use=(
        "A task with some labelled data and nothing else: the same data serves twice.",
        "Architectures are compared on long sequences: from scratch the comparison is not fair.",
        "Your own recordings are unlike what published encoders heard: `Pretraining` takes any "
        "encoder of the house.",
        "Blocks alone: `nn.s4`, `nn.s4d`, `nn.window_attention` and `nn.rotary` stand by "
        "themselves.",
    ),
    avoid=(
        "Every sample is a token: a second of speech is 16,000 of them. Encoders of spectrograms "
        "(SSAST, SSAMBA, TERA) learn more in the same time on a CPU.",
        "PathX and the full Long Range Arena take a GPU for hours to days; presets and tasks of "
        "their sizes are here, results are not.",
        "Only a few hundred updates can be made in all: pre-training takes them from the task. At "
        "290 the claim's record has S4D far better from scratch, and no encoder better for it.",
        "There is much unlabelled sound of the kind: pre-train on all of it, not on the task's.",
    ),
    paper="Ido Amos, Jonathan Berant, Ankit Gupta, ICLR 2024",
    figures=(
        "Long Range Arena, average: Transformer 53.7 from scratch, about 86 self-pre-trained with "
        "rotary positions; S4 86.1 from scratch, slightly more self-pre-trained",
        "PathX-256: S4 about 68 from scratch, about 87 self-pre-trained",
    ),
    code_licence="MIT",
    weights_licence="none published",
    deviations=(
        "A hidden input is one learned vector instead of a second input channel: the same map, "
        "without the column that fine-tuning cuts off.",
        "State spaces are diagonal (S4D, as the official configurable layer in its diagonal mode, "
        "and the standalone layer) or normal plus low-rank (S4, as in the published arms: presets "
        "`-s4`; HiPPO-LegS with a term of rank 1, others are refused). A kernel of S4 is of at "
        "most `frames` places; the official one doubles itself when it hears more, here `refit` "
        "makes an encoder of more. It is checked against recurrences written out from "
        "HiPPO's matrices and by SciPy; no golden case of the official layer is in the suite.",
        "Padding changes nothing: official models take inputs of one length.",
        "Inputs of any length with windows of attention: the last window is filled up.",
        "`adapt` and `sonograph train` put the house's head on these encoders (the mean of all "
        "tokens, a norm, a linear map) and hear samples, not pixels. The tasks of pixels have "
        "their own heads and schedules in the recipe: `pixels` and `learn_pixels`. Their pictures "
        "are CIFAR-10 from a folder, digits, or Pathfinder's, drawn by rules of ours: what the "
        "Long Range Arena drew is not here, and a result is not one of its table.",
        "A fine-tuned official file has no names of classes: they are numbers.",
        "Positions of token tasks are fixed sinusoids without dropout; the vocabulary has no entry "
        "for the mask. Sizes of vocabularies are ours.",
        "Dropout, 0 in every published Transformer, is of what a residual part gives; official "
        "attention drops weights too, in evaluation as well, and feed-forward parts hidden values.",
        "Attention without biases, state spaces with feed-forward parts between them and ReLU, "
        "which the official code can be set to and no published arm has, are not here; the "
        "activation is in no file.",
        "DLR, MEGA and the fine-tuning of Pythia, which the official code has too, are not here.",
        "Mamba is beside the paper.",
    ),
    faults=(
        "The shipped rate of the token tasks, 0.05, is a hundred times that of the others and "
        "suspect; ours is that of PathX.",
        "Rotary positions are off in the shipped Long Range Arena configurations, though the "
        "headline of the paper has them.",
        "Windows of attention ask for a multiple of their size; pykeops is imported without need.",
        "Padding is not hidden from attention.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("never_train_from_scratch",),
    checks=("tests/parity/test_self_pretraining_peers.py",),
)
