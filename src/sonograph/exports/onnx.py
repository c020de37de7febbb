"""ONNX: written by torch's exporter from what `tracing.py` followed, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonograph.errors import missing_extra
from sonograph.exports.check import Run
from sonograph.exports.ports import Surface
from sonograph.exports.tracing import quiet

SUFFIX = ".onnx"
OPSET = 20


def write(program: Any, surface: Surface, path: Path) -> None:
    """Raises what the exporter raises where it knows no way to say a part."""
    require()
    names = [port.name for port in surface.inputs], [port.name for port in surface.outputs]
    with quiet():
        made = torch.onnx.export(
            program,
            (),
            input_names=names[0],
            output_names=names[1],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert made is not None
        made.save(path)


def opened(path: Path, threads: int = 0) -> Run:
    """The file as a function of tensors; threads 0: as many as torch has."""
    session = session_of(path, threads)
    names = [one.name for one in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return [torch.from_numpy(value) for value in session.run(None, given)]

    return run


def session_of(path: Path, threads: int = 0) -> Any:
    """An onnxruntime session on the CPU."""
    require()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 4  # what fails is raised, too
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def require() -> None:
    """Raise InputError where what writes or runs ONNX is not installed."""
    from importlib.util import find_spec

    for name in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(name) is None:
            raise missing_extra(name, "export")
