"""How many parameters each preset has, counted once: `make docs` writes `counts.json`.

Counting all presets takes seconds, and the lists of `sonograph models` and `systems` want them at
once. tests/atlas counts again and compares.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

COUNTS = Path(__file__).with_name("counts.json")


def parameters(name: str) -> int:
    """Of a preset: as it was counted, or counted now where it is new."""
    known = _known().get(name)
    return counted(name) if known is None else known


def counted(name: str) -> int:
    """Of a preset, counted on the meta device."""
    from sonograph import registry

    return sum(p.numel() for p in registry.build(name, device="meta").parameters())


def content() -> str:
    """What `counts.json` has to hold."""
    from sonograph import registry

    found = {preset.name: counted(preset.name) for preset in registry.presets()}
    return json.dumps(found, indent=0, sort_keys=True) + "\n"


@functools.cache
def _known() -> dict[str, int]:
    return json.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.is_file() else {}
