"""Every model to and from a folder, as users of transformers know it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self


class Pretrained:
    """Gives a model `from_pretrained` and `save_pretrained`."""

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], device: str = "cpu") -> Self:
        """The model of a bundled name, a folder, a published file or a hub id, ready to use.

        Of a model that contains one of this class (a classifier its encoder), the part. Raises
        InputError where nothing fits, and for a model of another class.

        >>> from sonograph.systems.represent.ssast import SSAST
        >>> SSAST.from_pretrained("ssast-mini").width
        192
        """
        from sonograph.errors import InputError
        from sonograph.weights import load

        model: Any = load(name, device)
        for found in (model, *(getattr(model, part, None) for part in ("encoder", "separator"))):
            if isinstance(found, cls):
                return found
        raise InputError(
            f"{name} is a {type(model).__name__}, not a {cls.__name__}: use "
            f"{type(model).__name__}.from_pretrained, or sonograph.load"
        )

    def save_pretrained(
        self, folder: str | os.PathLike[str], card: Mapping[str, Any] | None = None
    ) -> Path:
        """Write a model folder that `from_pretrained`, `sonograph.load` and `push` take.

        card: what it is, from which data, under which licence; else the one that it was loaded
        with. Every file appears whole or not at all.
        """
        from sonograph import weights
        from sonograph.nn.adaptation import Inserted

        model: Any = self
        told = dict(getattr(self, "card", {}) if card is None else card)
        told.setdefault("name", Path(folder).name)
        if any(isinstance(part, Inserted) for part in model.modules()):
            return weights.save_adapted(folder, model, told)
        return weights.save_folder(folder, model, told)
