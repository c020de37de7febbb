"""BEATs: an encoder that learns sound by predicting acoustic labels, and the tokenizers that label.

For whoever wants vectors of sounds of every kind, or tags of AudioSet's: pre-train on unlabelled
sound, then fine-tune or probe.
Chen, Wu, Wang, Liu, Chen, Wei, et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers",
ICML 2023. Where SSAST and masked autoencoders paint what is hidden, BEATs names it: each patch of
a log-mel spectrogram has one of 1024 labels, and the encoder, shown a quarter of the patches, tells
the labels of the rest. Labels come from a random projection at first; then a tokenizer is taught
to say in labels what the encoder knows, and the next encoder learns from that; and again.

Published (base, 90 M): AudioSet-2M mAP 48.6, AudioSet-20K 38.9, ESC-50 98.1. By iteration, on
AudioSet-20K: 36.0, 38.3, 38.3, 38.9. The open reproduction (ESPnet) is lower: 29.7 with random
labels, 31.3 with distilled ones.

Shapes: features (b, bins, frames) -> tokens (b, n, d), n = rows x columns. The public order is the
house's, frequency-major; inside, and in every published weight that depends on order, tokens run in
time-major order, column after column.

Ours, where the paper is silent: the start of weights that DeepNorm does not name; a linear layer
behind the estimator; predictor and estimator have DeepNorm's constants of their own depth; labels
are smoothed in training only; betas and warm-up of the published schedule (see the recipe).
"""

from __future__ import annotations

import dataclasses

from torch import nn

from sonograph.registry import About, register
from sonograph.systems.represent.beats.model import (
    BEATs,
    Config,
    Tagger,
    published_mask,
)
from sonograph.systems.represent.beats.objective import Pretraining
from sonograph.systems.represent.beats.published import (
    PUBLISHED_NAMES,
    READS_NOTES,
    UNUSED,
    config_from_published,
    from_published,
    is_published,
    load_published,
)
from sonograph.systems.represent.beats.tokenizer import Distillation, RandomTokenizer, Tokenizer

__all__ = [
    "ABOUT",
    "EXPORTS",
    "PUBLISHED_NAMES",
    "READS_NOTES",
    "UNUSED",
    "BEATs",
    "Config",
    "Distillation",
    "Pretraining",
    "RandomTokenizer",
    "Tagger",
    "Tokenizer",
    "build",
    "config_from_published",
    "from_published",
    "is_published",
    "load_published",
    "published_mask",
]

EXPORTS = True  # torch.export takes the encoder, for clips that fill their batch


def build(config: Config) -> nn.Module:
    """The published model of a configuration: encoder, tagger or tokenizer."""
    forms: dict[str, type[nn.Module]] = {"encoder": BEATs, "tagger": Tagger, "tokenizer": Tokenizer}
    return forms[config.form](config)


# --- presets -------------------------------------------------------------------------------------


@register("beats-test", system="beats", note="for tests: under a million parameters")
def test() -> Config:
    return Config(
        width=48,
        depth=2,
        num_heads=2,
        hidden=96,
        patch_width=32,
        position_kernel=16,
        position_groups=4,
        num_buckets=32,
        max_distance=64,
        frames=128,
        codes=16,
        code_width=16,
        estimator_depth=1,
        predictor_depth=1,
    )


@register("beats-mini", system="beats", note="trains on two cores; the claim's size")
def mini() -> Config:
    return Config(
        width=96,
        depth=4,
        num_heads=4,
        hidden=384,
        patch_width=96,
        position_kernel=32,
        position_groups=8,
        frames=128,
        codes=256,
        code_width=64,
        estimator_depth=1,
        predictor_depth=1,
    )


@register("beats-small", system="beats", note="ours, for one GPU in an hour")
def small() -> Config:
    return Config(
        width=384, num_heads=6, hidden=1536, patch_width=256, frames=512, predictor_depth=2
    )


@register("beats-base-iter1", system="beats", parameters=90_311_792, note="BEATs_iter1")
def base_iter1() -> Config:
    return Config(dropout=0.1)


@register("beats-base-iter2", system="beats", parameters=90_311_792, note="BEATs_iter2")
def base_iter2() -> Config:
    return dataclasses.replace(base_iter1(), targets="distilled")


@register("beats-base-iter3", system="beats", parameters=90_311_792, note="BEATs_iter3, iter3+")
def base_iter3() -> Config:
    return base_iter2()


@register(
    "beats-base-finetuned",
    system="beats",
    parameters=90_717_055,
    note="with AudioSet's 527 classes",
)
def base_finetuned() -> Config:
    labels = tuple(f"class {number}" for number in range(527))
    return dataclasses.replace(base_iter2(), form="tagger", labels=labels)


@register(
    "beats-tokenizer",
    system="beats",
    parameters=91_099_248,  # official count 91,624,560: with codes and their sums, buffers here
    note="Tokenizer_iter2 and later",
)
def tokenizer() -> Config:
    return dataclasses.replace(base_iter1(), form="tokenizer")


# --- for its page --------------------------------------------------------------------------------

ABOUT = About(
    summary="",
    use=(),
    avoid=(),
    paper="",
    figures=(),
    code_licence="",
    weights_licence="",
    deviations=(),
    faults=(),
    verbs=(),
    golden=(),
    checks=(),
)
