"""PETL_AST: parameter-efficient ways to adapt one frozen Audio Spectrogram Transformer.

For whoever serves many small audio tasks from one backbone: a task is a few ten thousand numbers.
Cappellazzo, Falavigna, Brutti and Ravanelli, "Parameter-Efficient Transfer Learning of Audio
Spectrogram Transformers" (MLSP 2024). `selection` chooses among the weights there are, `lora` adds
a low-rank change.
"""

from __future__ import annotations

from sonograph.registry import About
from sonograph.systems.adapt.ast_adapters.lora import LoRA
from sonograph.systems.adapt.ast_adapters.selection import BitFit, Full, Linear, Norms

__all__ = ["BitFit", "Full", "Linear", "LoRA", "Norms"]

ABOUT = About(
    summary="Ways to adapt one frozen transformer to many small tasks.",
    use=("Many small tasks on one backbone.",),
    avoid=("One task with many labels: fine-tune everything.",),
    paper="Umberto Cappellazzo, Daniele Falavigna, Alessio Brutti, Mirco Ravanelli, MLSP 2024",
    figures=(),
    code_licence="none is stated",
    weights_licence="no weights are published",
    deviations=(),
    faults=(),
    verbs=("adapt", "evaluate", "tag"),
    golden=("petl_ast",),
    checks=(),
)
