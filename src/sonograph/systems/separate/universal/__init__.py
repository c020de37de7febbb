"""USS, Universal Source Separation: one network that pulls out any sound it is asked for.

For whoever wants one sound from a recording of anything: by the name of a class ("Dog"), by a
recording of something alike, or all that is there, sorted by the AudioSet ontology. Kong, Chen,
Liu, Du, Berg-Kirkpatrick, Dubnov and Plumbley, "Universal Source Separation with Weakly Labelled
Data", 2023 (arXiv 2305.07447). It learns from clips of which is only known what they hold
somewhere: a tagger finds the two seconds in which a class is surest (the anchor), two anchors are
mixed, and a residual U-Net gives one of them back, told by a query net what that one sounds like.
AudioSep (Liu et al. 2023) is the same U-Net with CLAP as its query net.

Published (one model, SDR improvement): AudioSet 5.57 dB over 527 classes, FSDKaggle2018 10.57,
MUSDB18 8.12, Slakh2100 7.28; VoiceBank-DEMAND SSNR 9.00 dB.

Shapes: mixture (b, channels, n), condition (b, c) -> magnitudes (b, channels, t, f + 1) -> masks
(b, 3 channels, t, f) -> (b, channels, n); of several conditions (b, stems, channels, n).

Ours, where the paper is silent: a class asks with the mean tags of its anchors (in published files
with 1 for itself), a node of the ontology that is no class with the mean of the classes under it;
pieces of an example are silent beside its loudest sample; of a silent window nothing is told, and
what comes out of it is silent.
"""

from __future__ import annotations

from sonograph.registry import About
from sonograph.systems.separate.universal import presets, published
from sonograph.systems.separate.universal.model import (
    LEAST,
    Asked,
    Config,
    Following,
    MaskNet,
    Universal,
    build,
)
from sonograph.systems.separate.universal.objective import (
    Pretraining,
    magnitude_l1,
    waveform_l1,
)
from sonograph.systems.separate.universal.published import (
    PUBLISHED_NAMES,
    UNUSED,
    config_from_published,
    from_published,
    is_published,
    load_published,
)
from sonograph.systems.separate.universal.query import Adaptor, QueryNet

__all__ = [
    "ABOUT",
    "LEAST",
    "PUBLISHED_NAMES",
    "UNUSED",
    "Adaptor",
    "Asked",
    "Config",
    "Following",
    "MaskNet",
    "Pretraining",
    "QueryNet",
    "Universal",
    "build",
    "config_from_published",
    "from_published",
    "is_published",
    "load_published",
    "magnitude_l1",
    "presets",
    "published",
    "waveform_l1",
]

ABOUT = About(
    summary="One network that pulls any sound out of anything, asked by name or by example.",
    use=(
        "One kind of sound from a recording: `sonograph separate FILE --query dog`, or `--like "
        "EXAMPLE.wav` where its name is not known or the model has no names.",
        "A recording of which nobody knows what is in it: `--auto` writes what a tagger heard.",
        "Only clip-level labels at hand: it learns from clips of which is known what they hold, "
        "not when, and never hears a clean source unless the clips have some.",
        "Published USS and AudioSep files at hand: `sonograph.load` opens both.",
    ),
    avoid=(
        "Songs into vocals and instruments, talkers from each other: Mel-RoFormer and MossFormer2 "
        "were made for one thing each and do it better.",
        "Two sounds of one class: they share a condition and come out together.",
        "Classes that its tagger does not know: it can only be asked by example for what its "
        "query net can tell apart.",
    ),
    paper="Qiuqiang Kong, Ke Chen, Haohe Liu, Xingjian Du, Taylor Berg-Kirkpatrick, Shlomo "
    "Dubnov, Mark D. Plumbley, 2023 (arXiv 2305.07447)",
    figures=(
        "AudioSet, SDR improvement over 527 classes 5.57 dB",
        "FSDKaggle2018 10.57 dB, MUSDB18 8.12 dB, Slakh2100 7.28 dB (one model)",
        "VoiceBank-DEMAND, segmental SNR 9.00 dB",
    ),
    code_licence="Apache-2.0 (USS), MIT (AudioSep)",
    weights_licence="on the Hugging Face hub (RSNuts/Universal_Source_Separation), trained on "
    "AudioSet; the tagger inside is CC BY 4.0 (Zenodo record 3987831)",
    deviations=(
        "A class with several parents in the ontology counts under each of them; the official "
        "tree keeps the first.",
        "Windows are cross-faded where the official code sets segments side by side; in the "
        "hierarchical mode the condition is that of each window.",
        "Silent parts of an example are those below 0.02 of its loudest sample, not of full "
        "scale, so that quiet examples can be asked with; nothing is heard in silence.",
        "The maps of the condition are one matrix, so that all are made in one multiplication.",
        "The published recipe warms up in a line over 30,000 updates; the official one in three "
        "jumps (a thousandth, a hundredth and a tenth of the rate, 10,000 updates each).",
        "A class is asked for with the mean tags of the anchors it was learned from, in published "
        "files with 1 for itself and 0 for all others; the official code asks with the tags of the "
        "segment, as the hierarchical mode here does.",
        "Small presets (`universal-test`, `-mini`) are ours; their running statistics move faster "
        "(`momentum`), since their trainings are short.",
    ),
    faults=(
        "Importing the official configuration downloads a list of classes, from an address that "
        "is gone.",
        "The top bin of every output is 0, since the mask's phase there is that of 0 (kept: "
        "published weights were trained so).",
        "Every decoder block owns a batch norm and a map of the condition that are never used "
        "(kept, frozen or idle, so that counts and files agree).",
        "Files carry the matrices of the Fourier transform, 12.6 million numbers.",
        "The evaluation on MUSDB18 hands estimate and reference over in the wrong order, and its "
        "baseline compares the estimate with the mixture.",
        "Segments of the hierarchical mode do not overlap, which clicks.",
    ),
    verbs=("separate",),
    golden=("uss",),
    checks=(),
    picture="Half a second of two held-out recordings at once, asked for by name: the small model "
    "of the claim, which never heard a clean source",
)
