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

Ours, where the paper is silent: the start of weights outside the blocks; a linear layer
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
    summary="An encoder that learns sound by predicting acoustic labels, with its tokenizers.",
    use=(
        "Tags of AudioSet's classes: a published fine-tuned file opens as a tagger, with its "
        "labels.",
        "Vectors of sounds of any kind and length: positions are relative, so no clip is too long.",
        "Sounds as sequences of labels, for a language model or an index: a tokenizer's "
        "`tokenize`, one of 1024 labels for each patch of 160 ms by 16 mel bands.",
        "Much sound without labels: pre-train, tokenizer and encoder in turns, by one command.",
    ),
    avoid=(
        "Words are to be written down: it knows nothing of language.",
        "Events are to be placed finer than 160 ms: its patches are that long.",
        "Minutes of pre-training: in a few hundred updates neither labels over painting nor a "
        "second iteration over the first showed a gain beyond chance (docs/claims.md). The gains "
        "of the paper are those of 400,000 updates an iteration on 5,000 hours.",
    ),
    paper="Sanyuan Chen, Yu Wu, Chengyi Wang, Shujie Liu, Daniel Tompkins, Zhuo Chen, Wanxiang "
    "Che, Xiangzhan Yu, Furu Wei, ICML 2023",
    figures=(
        "AudioSet-2M mAP by iteration 47.9, 48.1, 48.0, and 48.6 with a fine-tuned teacher; "
        "AudioMAE-Large, which paints, 47.4",
        "AudioSet-20K mAP by iteration 36.0, 38.3, 38.3, and 38.9",
        "ESC-50 accuracy by iteration 94.0, 95.1, 95.6 %, and 98.1 % with a fine-tuned teacher",
        "Speech Commands, 12 and 35 words, 97.7 to 98.1 and 98.1 to 98.3 %",
        "AudioSet-20K mAP of the open reproduction by ESPnet: 29.72 with random labels, 31.26 with "
        "distilled ones; ESC-50 93.35 % with either",
    ),
    code_licence="MIT",
    weights_licence="linked from the official code, which is under the MIT licence and names no "
    "other for them; trained on AudioSet",
    deviations=(
        "A frame is valid where all of its samples are, a patch where all of its frames are: "
        'padding changes nothing. `compat="published"` maps the mask as the official code does.',
        "Public tokens are in frequency-major order, as all of the house's; inside they run in "
        "time-major order, as the published weights need it.",
        "The official code has no training. Masked prediction, tokenizer losses and schedules "
        "follow the paper, what it leaves open ESPnet's open re-implementation, or this package: "
        "warm-up, betas, the linear layer behind the estimator, the start of weights outside the "
        "blocks.",
        "Claims and trainings here were measured with gates that began as torch begins linear maps "
        "and with a dropout behind the patches, neither of which the official code has.",
        "The paper projects a patch once for its random labels; here, as in ESPnet, twice with a "
        "norm after each.",
        "Logits, softmax and biases of the attention are in float32 in every precision. The "
        "official division by 32 before and multiplication after the softmax's maximum changes "
        "nothing, and is left out.",
        "Codes, and what the quantiser counts, are buffers, so counts of a tokenizer's parameters "
        "are without them: 91,099,248 of the official 91,624,560.",
        "On other encoders of the house the objective hides their own patches, instead of leaving "
        "them out of the sequence.",
        "Presets `beats-test`, `-mini` and `-small` are ours, with a shorter schedule.",
    ),
    faults=(
        "The quantiser changes a count of its codes on every call, in evaluation too.",
        "The padding mask of samples is mapped to frames, and that of frames to tokens, by cutting "
        "off a remainder and dividing the rest evenly: patches near the end of a clip are masked "
        "wrongly, and the answer depends on the padding.",
        "The relative position table is stored once for each layer.",
        "No training code was published; links to the checkpoints have been dead for long times.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("beats", "kaldi-fbank"),
    checks=("tests/parity/test_wavlm_transformers.py",),
)
