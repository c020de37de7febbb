"""Full training recipes, one file a system: the same tree as `systems`.

A recipe module has `recipe_of(preset) -> Config` and
`pretrain(preset, clips, folder, recipe, progress) -> Summary`.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from sonograph.errors import InputError


def recipe_module(system: str) -> Any:
    """The recipe of a system. Raises InputError where there is none yet."""
    from sonograph import registry

    entry = registry.system(system)
    name = f"sonograph.recipes.{entry.task}.{entry.name}"
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise InputError(f"{system} has no recipe to train it yet: see `sonograph systems`")
    return importlib.import_module(name)
