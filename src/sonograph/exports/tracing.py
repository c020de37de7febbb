"""A model followed once through torch.export: which axes stay free, or why it cannot be."""

from __future__ import annotations

import builtins
import contextlib
import copy
import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from sonograph.exports.plainly import plainly
from sonograph.exports.ports import BATCH, Surface

SEED, SHARE = 20, 0.83
NOTHING: Any = object()
EVERYWHERE = ("sonograph.nn.", "sonograph.systems.", "sonograph.audio.")
LISTENERS, SPEAKERS = ("sonograph.systems.tag.",), ("sonograph.systems.speak.",)


@dataclass(frozen=True)
class Traced:
    """program: a torch.export.ExportedProgram. free: the axes that may differ from call to call.

    least: of the length, where following the model showed that shorter ones go another way.
    """

    program: Any
    free: tuple[str, ...]
    least: int


def freedoms(axes: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Which axes to leave free, from the freest to none.

    >>> freedoms(("batch", "samples"))
    [('batch', 'samples'), ('batch',), ('samples',), ()]
    """
    return [axes, *([(axis,) for axis in axes] if len(axes) > 1 else []), ()]


def traced(surface: Surface, free: tuple[str, ...]) -> Traced:
    """The model with these axes free. Raises what torch.export raises where that cannot be."""
    least = surface.length.least
    while True:
        try:
            return Traced(_followed(surface, free, least), free, least)
        except Exception as error:  # torch raises many kinds here
            more = _least_in(str(error))
            if surface.length.name not in free or more is None or more <= least:
                raise
            least = more  # from here on the model goes one way


def prepared(module: torch.nn.Module) -> Any:
    """A copy with plain weights, in evaluation mode, that asks for no gradients."""
    from sonograph.nn.weight_norm import fold

    return fold(copy.deepcopy(module)).eval().requires_grad_(False)


def _followed(surface: Surface, free: tuple[str, ...], least: int) -> Any:
    length = surface.length
    module = prepared(surface.followed or surface.module)
    # 2 clips: what is true of one alone (it can be broadcast) is not to be built in
    clips = 2 if BATCH in free else 1
    # nor what is true of the longest alone
    size = length.fitted(SHARE * length.usual) if length.name in free else length.usual
    inputs = surface.draw(clips, size, torch.Generator().manual_seed(SEED))
    shapes = _dims(surface, free, least)
    # with gradients on, though nothing asks for them: then no work is cut up to save memory
    with torch.enable_grad(), plainly(), symbols(), quiet():
        program = torch.export.export(
            module, inputs, dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
        )
    return _without_assertions(program)


def _without_assertions(program: Any) -> Any:
    """The program without what was true of the example's sizes alone; `check.py` tries others."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _dims(surface: Surface, free: tuple[str, ...], least: int) -> tuple[dict[int, Any], ...]:
    from torch.export import Dim

    length, known = surface.length, dict[str, Any]()
    if BATCH in free:
        known[BATCH] = Dim(BATCH, min=1, max=4096)
    if length.name in free:
        steps = (-(-least // length.step), length.most and length.most // length.step)
        dim = Dim(length.name, min=steps[0], max=steps[1])
        known[length.name] = length.step * dim if length.step > 1 else dim
    return tuple(
        {axis: known[name] for axis, name in enumerate(port.shape) if name in known}  # type: ignore[index]
        for port in surface.inputs
    )


# --- lengths that stay symbols -------------------------------------------------------------------


def _size(values: Any) -> Any:
    """`len`, but of a tensor a size that may stay open: Python's own has to be a number."""
    return values.shape[0] if isinstance(values, Tensor) else builtins.len(values)


def _holds(value: Any) -> bool:
    """`bool`, but of a tensor always true: listeners ask so whether a batch is whole, without
    padding, and in an exported file it is. What is wrong because of it fails the check.
    """
    return True if isinstance(value, Tensor) else builtins.bool(value)


def _count(value: Any) -> Any:
    """`int`, but of a tensor a symbol: how many frames a model means to speak."""
    if not isinstance(value, Tensor):
        return builtins.int(value)
    frames = value.item()
    torch._check(frames >= 2)
    return frames


def _unasked(*values: Any) -> None:
    """Of a whole text there is no mask, and what its numbers are is for the caller to check."""


SHADOWS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (EVERYWHERE, {"len": _size}),
    (LISTENERS, {"bool": _holds}),
    (SPEAKERS, {"int": _count, "mask_of": _unasked, "require_text": _unasked}),
)


@contextlib.contextmanager
def symbols() -> Iterator[None]:
    """While it lasts, the models' code calls these in place of functions that need numbers."""
    before: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for name, module in list(sys.modules.items()):
        for places, shadows in SHADOWS:
            if isinstance(module, ModuleType) and name.startswith(places):
                own = module.__dict__
                before.append((own, {word: own.get(word, NOTHING) for word in shadows}))
                own.update(shadows)
    try:
        yield
    finally:
        for own, values in reversed(before):
            for word, value in values.items():
                if value is NOTHING:
                    del own[word]
                else:
                    own[word] = value


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, torch prints no graphs and no advice: what fails is told in one line."""
    root = logging.getLogger("torch")
    disabled, before = logging.root.manager.disable, root.level
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.setLevel(before)


# --- what went wrong, in one line ----------------------------------------------------------------


def _least_in(message: str) -> int | None:
    """The shortest length for which the model goes the way that was followed."""
    found = re.search(r"satisfy the generated guard (\d+) <= L\['[^']*'\]", message)
    return int(found[1]) if found else None


def reason(error: BaseException) -> str:
    """Which part stands in the way, and why."""
    cause = error
    while cause.__cause__ is not None and str(cause.__cause__):
        cause = cause.__cause__
    said = re.sub(r"\x1b\[\d*m", "", f"{error}\n{cause}")
    if unknown := re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", said):
        return f"ONNX has no {unknown[1]}"
    if str(error).startswith(
        ("Failed to convert", "An error occurred")
    ):  # and then advice; what failed is the cause
        said = str(cause)
    lines = [line.strip(" -|\t") for line in said.splitlines()]
    words = next((line for line in lines if line), type(error).__name__)
    if words.startswith(("Constraints violated", "Specializations unexpectedly")):
        words = "it is followed for one size only: " + next(
            (line for line in lines[1:] if "satisfy" in line or "specialized" in line), words
        )
    words = words.split("(unhinted")[0].split(". If you")[0].split(" For more")[0].strip(" .")
    place = _place(error)
    return f"{words[:160]}{f' ({place})' if place else ''}"


def _place(error: BaseException) -> str:
    """Where in a model it happened: `nn/scan.py, line 90, advance`."""
    import sonograph

    root = Path(sonograph.__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(root) and path.parts[len(root.parts)] != "exports":
            if path.name == "fourier.py":
                continue
            return f"{path.relative_to(root)}, line {frame.lineno}, {frame.name}"
    return ""
