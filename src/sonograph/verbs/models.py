"""`sonograph models`: what can be loaded or built."""

from __future__ import annotations

import dataclasses

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Args:
    pattern: Positional[str] = "*"
    """A wildcard pattern of names, like "ssast-*"."""
    bundled: bool = False
    """Only models whose weights come with the package."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from fnmatch import fnmatchcase

    from sonograph import registry, weights
    from sonograph.atlas.counts import parameters
    from sonograph.errors import InputError
    from sonograph.verbs import show

    rows = []
    for name, folder in weights.bundled().items():
        if fnmatchcase(name, args.pattern):
            card = weights.read_json(folder / weights.CARD)
            rows.append(
                {
                    "name": name,
                    "system": card.get("system", ""),
                    "parameters": card.get("parameters"),
                    "weights": "bundled",
                    "note": card.get("summary", ""),
                }
            )
    trained = {row["name"] for row in rows}
    for preset in registry.presets(args.pattern) if not args.bundled else ():
        if preset.name in trained:
            continue
        rows.append(
            {
                "name": preset.name,
                "system": preset.system,
                "parameters": parameters(preset.name),
                "weights": "none: train, or load a published file",
                "note": preset.note,
            }
        )
    if not rows:
        raise InputError(f"no model is called {args.pattern!r}: `sonograph models` lists all")
    if args.json:
        show.as_json(rows)
    else:
        show.table(list(rows[0]), [list(row.values()) for row in rows])
    return 0
