"""`sonograph info`: all about one model, preset or sound file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tyro.conf import Positional


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
    if name in weights.bundled() or path.exists():
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


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, item in value.items():
        if isinstance(item, dict):
            rows += _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list) and len(item) > 12:
            rows.append((prefix + key, f"{', '.join(map(str, item[:12]))} ... ({len(item)})"))
        else:
            rows.append((prefix + key, item))
    return rows
