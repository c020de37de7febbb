"""PANNs: convolutional networks that tag sound with 527 classes, and start other taggers.

For whoever wants to know what a recording holds, or has a small labelled set and wants to start
from a network that has heard much. Kong, Cao, Iqbal, Wang, Wang and Plumbley, "PANNs: Large-Scale
Pretrained Audio Neural Networks for Audio Pattern Recognition", IEEE/ACM TASLP 2020.
A trunk of convolutions over log-mel frames, the waveform, or both (a Wavegram is a spectrogram that
is learned); mean over frequency, mean + maximum over time, one hidden layer (the embedding), a
sigmoid for each label. Decision-level models answer for every step first, and then for the clip.

Published (AudioSet, mAP): CNN6 0.343, CNN10 0.380, CNN14 0.431, ResNet38 0.434, MobileNetV1 0.389,
Wavegram-Logmel-CNN14 0.439. Fine-tuned on ESC-50 94.7 %, from scratch 83.3 %.

Shapes: features (b, bins, frames) or (b, 1, samples) -> maps (b, c, t, f) or (b, c, t) -> tokens
(b, columns, d), grid (1, columns), special (b, 1, e), the embedding -> logits (b, labels).

Ours, where the paper is silent: what lies beyond a clip is zero before every convolution and left
out of means, maxima and batch statistics, so that padding changes nothing; shorter clips are filled
up to one column; where the two branches of Wavegram-Logmel differ by a step, both are cut to the
shorter; `events` of a model that was trained on whole clips puts its head on three columns at a
time, as the decision-level models do.
"""

from __future__ import annotations

from sonograph.registry import About
from sonograph.systems.tag.panns import presets, published
from sonograph.systems.tag.panns.model import PANN, Config, Map, PANNs, build, logmel
from sonograph.systems.tag.panns.published import (
    PUBLISHED_NAMES,
    UNUSED,
    config_from_published,
    from_published,
    is_published,
    load_published,
    look_of,
)

__all__ = [
    "ABOUT",
    "EXPORTS",
    "PANN",
    "PUBLISHED_NAMES",
    "UNUSED",
    "Config",
    "Map",
    "PANNs",
    "build",
    "config_from_published",
    "from_published",
    "is_published",
    "load_published",
    "logmel",
    "look_of",
    "presets",
    "published",
]

EXPORTS = True  # torch.export takes the encoder, for clips that fill their batch

ABOUT = About(
    summary="Convolutional networks that name what is heard, and start taggers with few labels.",
    use=(
        "Tags at once: `sonograph tag FILE` takes the bundled `panns-mini`, 25 sounds, trained by "
        "`recipes/tag/sounds.py`; what it is worth stands on its card.",
        "Tags of everyday sounds with published weights: `sonograph.load` opens the official "
        "files of every variant.",
        "A small labelled set and a network that has heard more: fine-tune, or probe the "
        '`special` token, the embedding (pool="special" is the paper\'s own transfer).',
        "When something sounds, not only what: `events` gives scores every 10 ms, the "
        "decision-level models were trained for it.",
    ),
    avoid=(
        "No labels at all: these networks learn from labels; SSAST and BEATs learn without.",
        "Events shorter than a third of a second are to be placed in time: a column of CNN14 is "
        "0.32 s wide (CNN10 and CNN6: 0.16 s).",
        "Little memory: CNN14 has 81 million weights; MobileNetV1, V2 and CNN6 have under 5.",
        "The presets without published weights know nothing; only their labels have names.",
        "Minutes of pre-training: measured here, after 80 updates the labels' own training from "
        "scratch was better (docs/claims.md); such a short start knows hardly more than chance.",
    ),
    paper="Qiuqiang Kong, Yin Cao, Turab Iqbal, Yuxuan Wang, Wenwu Wang, Mark D. Plumbley, "
    "IEEE/ACM TASLP 2020",
    figures=(
        "AudioSet mAP: CNN6 0.343, CNN10 0.380, CNN14 0.431 (16 kHz 0.438, 8 kHz 0.416)",
        "AudioSet mAP: ResNet22 0.430, ResNet38 0.434, ResNet54 0.429, MobileNetV1 0.389, "
        "MobileNetV2 0.383",
        "AudioSet mAP: Wavegram-CNN 0.389, Wavegram-Logmel-CNN 0.439, best before 0.392",
        "AudioSet mAP: Res1dNet31 0.365, Res1dNet51 0.355, LeeNet11 0.266, LeeNet24 0.336, "
        "DaiNet19 0.295, decision-level Max 0.385, Att 0.425",
        "ESC-50 accuracy 94.7 % fine-tuned, 83.3 % from scratch",
    ),
    code_licence="MIT",
    weights_licence="CC BY 4.0 (Zenodo record 3987831); trained on AudioSet",
    deviations=(
        "What lies beyond a clip's end is zero before every convolution and left out of means, "
        "maxima and batch statistics. The official code pads the waveform with silence to ten "
        "seconds and takes it for sound.",
        "Clips too short for one column are filled up; the official code fails on them.",
        "Wavegram-Logmel cuts its two branches to the shorter where they differ by a step; the "
        "official code fails on such lengths.",
        "`events` works for every variant, for those trained on whole clips with their own head "
        "on three columns at a time.",
        "A stripe of the augmentation may lie on the last frame or bin, which the official draw "
        "never reaches.",
        "Decision-level Avg and Att give the clip's logit as the logit of its probability.",
        "Small presets (`panns-test`, `-demo`, `-mini`) are ours: CNN10 with narrower blocks, a "
        "window of five seconds at 16 kHz in `panns-mini`.",
    ),
    faults=(
        "The second dropout acts on what is given out as the embedding, not on what the "
        "classifier sees.",
        "Models own weights that they never use (a batch norm in the attention block, a first "
        "block and an input norm in Wavegram-CNN14, a shortcut in DaiNet19); kept, frozen, so "
        "that counts and files agree.",
        "The 16 and 8 kHz training data are decimated without a filter against aliasing.",
        "Building STFT and mel bank as weights makes every file carry them; ours makes them.",
        "Files of CNN14 and of decision-level Max and Avg cannot be told apart.",
    ),
    verbs=("train", "adapt", "evaluate", "embed", "tag", "search"),
    golden=("panns",),
    checks=("tests/parity/test_panns_inference.py",),
)
