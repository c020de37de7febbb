"""Full training recipes, one file a system: the same tree as `systems`.

A recipe module has `recipe_of(preset) -> Config` and
`pretrain(preset, clips, folder, recipe, progress) -> Summary`; a claim that takes several long
measurements has them by name in `CLAIM_PARTS`, each with the arguments of `claim`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonograph.errors import InputError
from sonograph.progress import Progress, silent

if TYPE_CHECKING:
    from sonograph.records import Record

# objectives that learn labels, on any encoder: the system whose recipe has them
FROM_LABELS = dict.fromkeys(("look", "supcon", "cross-entropy"), "supervised_transfer")


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


def claim(
    system: str,
    scale: str = "cpu",
    folder: str | Path | None = None,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
    part: str = "",
) -> list[tuple[str, Record]]:
    """Measure what a system's paper claims: (name, record) pairs, not yet written anywhere.

    scale: "cpu", at most 20 minutes of two cores, or "gpu", of one large GPU. folder: where the
    runs are kept, runs/claim-SYSTEM-SCALE; started again it goes on. part: one of several, alone.
    """
    recipe = recipe_module(system)
    if not hasattr(recipe, "claim"):
        raise InputError(f"{system} has no claim to measure yet: see `sonograph systems`")
    place = Path(folder or Path("runs") / f"claim-{system}-{scale}")
    parts: dict[str, Any] = getattr(recipe, "CLAIM_PARTS", {})
    if not part:
        return recipe.claim(scale, place, data_folder, progress)
    if part not in parts:
        known = f"it has {', '.join(parts)}" if parts else "it is measured as a whole"
        raise InputError(f"the claim of {system} has no part {part!r}: {known}")
    return parts[part](scale, place, data_folder, progress)
