"""Which format carries which system: written, opened again, compared with the model.

Every bundled model and every `-test` preset. A row is the largest error of a file as a share of the
largest value, and which axes are free; what a format cannot carry is told with its own reason.

    python -m benchmarks.export_formats [NAME ...]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Row, figure, show
from sonograph import registry, weights
from sonograph.errors import InputError

SYSTEM = "sonograph"
FORMS = ("onnx", "torch-export")
COMPILED = ("panns-mini", "ssast-mini", "voice-vocoder")  # as AOTInductor, too: that takes longest


def main(names: Sequence[str] = ()) -> list[Row]:
    """One row a file, and for each format how many models it carries."""
    known = [*weights.bundled(), *(p.name for p in registry.presets("*-test"))]
    chosen = list(names) or known
    rows: list[Row] = []
    for form in (*FORMS, "aot"):
        asked = [name for name in chosen if form != "aot" or name in COMPILED]
        refused: dict[str, str] = {}
        for name in asked:
            told = carried(name, form)
            if isinstance(told, str):
                refused[name] = told
                print(f"{name}: {told}", file=sys.stderr, flush=True)
            else:
                rows.append(told)
        if asked:
            count = figure(f"{form}: carried of {len(asked)}", len(asked) - len(refused), "models")
            rows.append(count | {"refused": refused})
    return rows


def carried(name: str, form: str) -> Row | str:
    """The row of one file, or why there is none."""
    from sonograph.exports.check import LIMIT
    from sonograph.exports.writing import export

    with tempfile.TemporaryDirectory() as folder:
        try:
            told = export(model_of(name), Path(folder), form).told  # type: ignore[arg-type]
        except InputError as error:
            return str(error)
    row = figure(f"{name}, {form}", told["largest_error"], "of the largest value")
    sizes = {axis: "only" not in size for axis, size in told["sizes"].items()}
    free = [axis for axis, open_ in sizes.items() if open_]
    return row | {"at_most": LIMIT, "free": free, "bytes": told["bytes"], "kind": told["kind"]}


def model_of(name: str) -> Any:
    """A bundled model, or a preset with no weights of 0, which would hide the rest."""
    if name in weights.bundled():
        return weights.load(name)
    model = registry.build(name).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if not bool(weight.any()):
                weight.copy_(0.05 * torch.randn(weight.shape, generator=draw))
    model.name = name
    return model


if __name__ == "__main__":
    show(main(sys.argv[1:]))
