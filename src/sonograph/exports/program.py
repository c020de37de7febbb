"""torch.export: the graph with its weights as one file, for any Python that has torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonograph.exports.check import Run
from sonograph.exports.ports import Surface

SUFFIX = ".pt2"


def write(program: Any, surface: Surface, path: Path) -> None:
    torch.export.save(program, path)


def opened(path: Path, threads: int = 0) -> Run:
    """The file as a function of tensors."""
    module: Any = torch.export.load(path).module()

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        with torch.no_grad():
            return module(*inputs)

    return run
