"""AOTInductor: the model compiled for this kind of processor, to be called from C++ or Python."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import InputError
from sonograph.exports.check import Run
from sonograph.exports.ports import Surface

SUFFIX = ".aot.pt2"


def write(program: Any, surface: Surface, path: Path) -> None:
    """Raises InputError where there is no compiler to do it."""
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        raise InputError("a compiler is needed (g++): install one, or choose another format")
    torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def opened(path: Path, threads: int = 0) -> Run:
    """The file as a function of tensors."""
    package: Any = torch._inductor.aoti_load_package(str(path))

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        with torch.no_grad():
            return package(*inputs)

    return run
