"""`sonograph info`: all about one model, preset or sound file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tyro.conf import Positional

LONGEST = 30  # of a list; what is longer is cut


@dataclasses.dataclass(frozen=True)
class Args:
    name: Positional[str]
    """A model, preset, run folder, or a sound file."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.verbs import show

    told = _about(args.name)
    if args.json:
        show.as_json(told)
    else:
        for key, value in _flat(told):
            print(f"{key}: {value}")
    return 0


def _about(name: str) -> dict[str, Any]:
    from sonograph import registry, weights
    from sonograph.audio.io import AUDIO_SUFFIXES

    path = Path(name)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        from sonograph.audio.io import info

        return {k: str(v) if isinstance(v, Path) else v for k, v in vars(info(path)).items()}
    if name in weights.bundled() or path.exists() or weights.is_hub_id(name):
        model: Any = weights.load(name)
        parameters = sum(p.numel() for p in model.parameters())
        return {**model.card, "parameters": parameters, "model": model.describe()}
    preset = registry.preset(name)
    model = registry.build(name, device="meta")
    entry = registry.system(preset.system)
    return {
        "name": name,
        "system": preset.system,
        "paper": entry.title,
        "note": preset.note,
        "parameters": sum(p.numel() for p in model.parameters()),
        "published_parameters": preset.parameters,
        "weights": "none here: train it, or load a published file",
        "config": model.config.to_dict(),
    }


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            rows += _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list | tuple) and item and isinstance(item[0], dict):
            rows += [(f"{prefix}{key}", _words(one)) for one in item]
        else:
            rows.append((prefix + key, _words(item)))
    return rows


def _words(item: Any) -> str:
    """A value as people write it: no brackets, no quotes."""
    if item is None or item in ({}, [], (), ""):
        return "none"
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, dict):
        return ", ".join(f"{key} {_words(one)}" for key, one in item.items())
    if isinstance(item, list | tuple):
        shown = ", ".join(
            f"({_words(one)})" if isinstance(one, list | tuple) else _words(one)
            for one in item[:LONGEST]
        )
        return shown if len(item) <= LONGEST else f"{shown} ... ({len(item)})"
    return str(item)
