"""PETL_AST: parameter-efficient ways to adapt one frozen Audio Spectrogram Transformer.

For whoever serves many small audio tasks from one backbone: a task is a few ten thousand numbers.
Cappellazzo, Falavigna, Brutti and Ravanelli, "Parameter-Efficient Transfer Learning of Audio
Spectrogram Transformers" (MLSP 2024); its mixtures from "Efficient Fine-tuning of Audio Spectrogram
Transformers via Soft Mixture of Adapters" (Interspeech 2024).

    selection   full, linear, norms, bitfit: which weights of the model learn
    lora        a low-rank change beside chosen layers
    adapters    bottleneck, conformer and convpass adapters beside residual parts
    mixtures    soft and dense mixtures of adapters
    prompts     learned tokens, learned keys and values
    published   names of the Hugging Face AST and of what PETL_AST adds to it
    peft_layout files as the library peft has them, of LoRA and of normalisation layers

Published (0.2 to 0.3 % of an AST's numbers trained; ESC-50, UrbanSound8K, Speech Commands, Fluent
Speech Commands): bottleneck adapters 88.4, 83.4, 91.3, 73.2; all of it 87.5, 84.3, 97.3, 93.3.
"""

from __future__ import annotations

from sonograph.registry import About
from sonograph.systems.adapt.ast_adapters.adapters import Adapter
from sonograph.systems.adapt.ast_adapters.lora import LoRA
from sonograph.systems.adapt.ast_adapters.mixtures import Mixture
from sonograph.systems.adapt.ast_adapters.prompts import PrefixTuning, PromptTuning
from sonograph.systems.adapt.ast_adapters.published import (
    from_published,
    is_published,
    load_published,
)
from sonograph.systems.adapt.ast_adapters.selection import BitFit, Full, Linear, Norms

__all__ = [
    "Adapter", "BitFit", "Full", "Linear", "LoRA", "Mixture", "Norms", "PrefixTuning",
    "PromptTuning", "from_published", "is_published", "load_published",
]  # fmt: skip

ABOUT = About(
    summary="Ways to adapt one frozen transformer to many small tasks: adapters, LoRA, prompts.",
    use=(
        "Many small tasks on one backbone: a task is a file of some ten kilobytes, and models that "
        "share a backbone are switched without loading anything.",
        "Tens of labels a class: fewer numbers to fit than fine-tuning has.",
        "A Hugging Face AST file at hand: `sonograph adapt ast.safetensors --method conformer`.",
    ),
    avoid=(
        "One task with many labels, and time: fine-tuning everything is the ceiling.",
        "The finished model must be plain weights: adapters, prompts and prefixes do not merge, "
        "LoRA, SVFit, norms and biases do.",
        "The encoder has no transformer blocks: adapters fit state-space layers too, prompts and "
        "prefixes do not; LoRA fits convolutions as well.",
    ),
    paper="Umberto Cappellazzo, Daniele Falavigna, Alessio Brutti, Mirco Ravanelli, MLSP 2024",
    figures=(
        "ESC-50, US8K, GSC, FSC: linear 75.9, 77.9, 41.8, 27.5; BitFit 86.1, 82.2, 85.5, 63.9",
        "shallow prompts 84.3, 79.7, 75.3, 40.9; deep 86.5, 83.7, 89.2, 68.6; prefix 82.9, 81.4, "
        "83.5, 56.8",
        "LoRA 86.5, 83.8, 93.6, 76.1; adapters (Pfeiffer) 88.4, 83.4, 91.3, 73.2, (Houlsby) 88.0, "
        "82.8, 91.8, 78.7",
        "everything 87.5, 84.3, 97.3, 93.3 (all recalled from the paper, not re-read)",
    ),
    code_licence="none is stated",
    weights_licence="no weights are published; the backbone is MIT/ast-finetuned-audioset",
    deviations=(
        "Positions are cut or stretched to the clip's length; in the official runs no frozen "
        "method has positions at all (see the faults): `zero-positions+adapter` is as they are.",
        "The last map of an adapter starts at 0 and the one before it does not; LoRA's B starts "
        "at 0: the adapted model begins as the given one, to the bit. Prompts and prefixes cannot.",
        "The conformer adapter normalises its input, convpass uses its convolution; "
        '`compat="published"` leaves both out, as the official code does.',
        "A mixture beside the attention is added once, and with slots compared by cosine they hold "
        'the tokens as they are; `compat="published"` has both faults below.',
        "Adapters' convolutions and batch norms pass over padding.",
        "Prompts leave the sequence after the last block and the distillation token stays; the "
        "official code pools over the prompts and takes that token out.",
        'Only the adapters learn, unless `norms="norm2|norm"` asks for the published ones too.',
        "LoRA is scaled by alpha / rank, as peft does; the official alpha / reduction is `scale`.",
        "A delta of LoRA or of normalisation layers is kept as peft keeps it (LORA, LN_TUNING), "
        "and peft reads it; for biases, adapters, prompts and prefixes of such encoders peft has "
        "no method, and those are kept under names of ours.",
    ),
    faults=(
        "With another clip length the library builds the position table anew, as zeros, and the "
        "authors freeze it: no frozen method knows where a patch stands.",
        "Settings of two of the four benchmarks are read under other names than they have.",
        "The best weights are kept by reference, so the last epoch is what is tested.",
        "UrbanSound8K chooses its epoch on the test fold.",
        "Both maps of the bottleneck start at 0; a library's handling of missing keys saves it.",
        "The conformer adapter's normalisation and convpass's convolution are computed and lost.",
        "A mixture beside the attention alone is added a second time behind the feed-forward part.",
        "Normalised soft mixtures fill slots with normalised tokens, and normalise the slots' "
        "vectors over the adapters, not over their own values.",
        "Placed after the sub-layer, parallel and sequential adapters compute the same sum.",
    ),
    verbs=("adapt", "evaluate", "tag", "methods"),
    golden=("petl_ast",),
    checks=("tests/nn/test_adaptation.py", "tests/parity/test_ast_adapters_transformers.py"),
)
