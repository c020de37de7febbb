"""The JSON beside an exported file: all that whoever embeds it has to know."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonograph.exports.check import Compared
from sonograph.exports.ports import Length, Port, Surface

FORMAT = 1


def sheet(
    model: Any,
    surface: Surface,
    file: Path,
    form: str,
    free: tuple[str, ...],
    least: int,
    done: Sequence[Compared],
) -> dict[str, Any]:
    """What goes in, what comes out, how far it was checked, where it is from and whose it is."""
    from sonograph.exports.onnx import OPSET
    from sonograph.weights import sha256

    card = dict(getattr(model, "card", {}) or {})
    described = model.describe() if hasattr(model, "describe") else {}
    within = described.get("encoder") or described.get("separator") or {}  # of a head, of notes
    length = dataclasses.replace(surface.length, least=least)
    return {
        "format": FORMAT,
        "name": card.get("name") or getattr(model, "name", ""),
        "kind": surface.kind,
        "system": card.get("system") or described.get("system") or within.get("system", ""),
        "written_as": form,
        "opset": OPSET if form == "onnx" else None,
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": sha256(file),
        "inputs": [_port(port, surface, free) for port in surface.inputs],
        "outputs": [_port(port, surface, free) for port in surface.outputs],
        "sizes": _sizes(surface, free, length),
        **surface.about,
        "largest_error": max(one.error for one in done),
        "checked": [dataclasses.asdict(one) for one in done],
        "licence": card.get("licence", ""),
        "card": card,
        "versions": versions(),
    }


def _port(port: Port, surface: Surface, free: tuple[str, ...]) -> dict[str, Any]:
    """As a JSON object; axes that are not free as numbers."""
    known: dict[int | str, int] = {
        "batch": surface.batches[0],
        surface.length.name: surface.length.usual,
    }
    shape = [axis if axis in free else known.get(axis, axis) for axis in port.shape]
    return {"name": port.name, "shape": shape, "dtype": port.dtype, "holds": port.words}


def _sizes(surface: Surface, free: tuple[str, ...], length: Length) -> dict[str, Any]:
    """Of each axis what it may be; `usual` is what the model hears at once in practice."""
    batch: dict[str, Any] = {"least": 1, "most": None} if "batch" in free else {
        "only": surface.batches[0]
    }  # fmt: skip
    if length.name not in free:
        return {"batch": batch, length.name: {"only": length.usual}}
    told = {"least": length.least, "most": length.most, "multiple_of": length.step}
    return {"batch": batch, length.name: told | {"usual": length.usual}}


def versions() -> dict[str, str]:
    """Of what wrote the file."""
    from importlib.metadata import PackageNotFoundError, version

    from sonograph import __version__

    found = {"sonograph": __version__}
    for name in ("torch", "onnx", "onnxscript", "onnxruntime"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
