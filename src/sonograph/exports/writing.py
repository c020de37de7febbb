"""A model to a file and its JSON: followed, written, opened again, compared; or nothing at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

from sonograph.errors import InputError, did_you_mean
from sonograph.progress import Progress, silent

if TYPE_CHECKING:
    from torch import nn

    from sonograph.exports.int8 import Int8
    from sonograph.exports.ports import Surface
    from sonograph.exports.tracing import Traced

Form = Literal["onnx", "torch-export", "aot"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True)
class Exported:
    """What was written, and what its JSON says."""

    file: Path
    sheet: Path
    told: dict[str, Any]


def export(
    model: nn.Module | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    format: Form = "onnx",
    int8: Int8 | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write a model, its front-end included, for programs that have no Sonograph.

    model: what `weights.load` takes, or a model that is loaded. The file takes a waveform (features
    where it is a vocoder, token ids where it is a voice); `NAME.json` beside it says what goes in
    and out. It is opened again and compared with the model on inputs of several lengths and batch
    sizes. int8: write it in whole numbers, unless that costs more than it says.

    Raises InputError, and leaves nothing behind, where the format cannot carry the model (with the
    part and the reason), where what was written differs, or where the folder cannot be written to.
    """
    from sonograph.exports.sheet import sheet
    from sonograph.exports.surface import name_of, surface_of
    from sonograph.weights import load, write_json

    writer = writer_of(format)
    if int8 is not None and format != "onnx":
        raise InputError(f"int8 is written for onnx, not for {format}: leave one of them out")
    loaded: Any = model if not isinstance(model, str | os.PathLike) else load(model)
    loaded.eval()
    surface, name = surface_of(loaded), Path(name_of(loaded)).name
    with _beside(Path(folder)) as place:
        file = place / f"{name}{writer.SUFFIX}"
        traced, done = carried(surface, writer, file, name, format, progress)
        smaller: dict[str, Any] | None = None
        if int8 is not None:
            from sonograph.exports.int8 import made_smaller

            progress(2, 3, "int8")
            smaller = made_smaller(file, surface, int8)
        told = sheet(loaded, surface, file, format, traced.free, traced.least, done)
        if smaller is not None:
            told["int8"] = smaller
        write_json(place / f"{name}.json", told)
    progress(3, 3)
    return Exported(Path(folder) / file.name, Path(folder) / f"{name}.json", told)


def carried(
    surface: Surface,
    writer: Any,
    file: Path,
    name: str,
    form: str,
    progress: Progress = silent,
) -> tuple[Traced, list[Any]]:
    """Follow, write, open and compare with as many free axes as all of that allows.

    Raises InputError with the part that stands in the way, and why.
    """
    from sonograph.exports.check import compared
    from sonograph.exports.tracing import freedoms, quiet, reason, traced

    said = ""
    for free in freedoms(surface.axes):
        try:
            progress(0, 3, "following it")
            found = traced(surface, free)
            progress(1, 3, f"writing {file.name}")
            with quiet():
                writer.write(found.program, surface, file)
                return found, compared(writer.opened(file), surface, free, found.least)
        except InputError as error:
            said = str(error)
            if said.startswith("a compiler") or "is not installed" in said:
                raise
        except Exception as error:  # every tool raises its own kinds
            said = reason(error)
        if said.startswith("ONNX has no"):  # whatever is free
            break
    raise InputError(f"{form} cannot carry {name}: {said}")


def writer_of(form: str) -> ModuleType:
    """The module that writes and opens a format. InputError for others."""
    if form not in FORMS:
        raise InputError(
            f"there is no format {form!r}: {', '.join(FORMS)}.{did_you_mean(form, FORMS)}"
        )
    from sonograph.exports import onnx, package, program

    writer = {"onnx": onnx, "torch-export": program, "aot": package}[form]
    if writer is onnx:
        onnx.require()
    return writer


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder to write into, whose files become `folder`'s if all ends well; else nothing is left,
    not even the folder where it was not there before.
    """
    from sonograph.writing import PARTIAL, explained, flush

    made = [folder, *folder.parents]
    missing = [path for path in made if not path.exists()]
    place = folder / f"{PARTIAL}{os.getpid()}"
    with explained(folder):
        place.mkdir(parents=True)
    try:
        yield place
        with explained(folder):
            for file in sorted(place.iterdir()):
                flush(file)
                os.replace(file, folder / file.name)
            flush(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        for path in missing:  # the deepest first
            with contextlib.suppress(OSError):  # it holds what was written
                path.rmdir()
