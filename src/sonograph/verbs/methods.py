"""`sonograph methods`: the ways to adapt a model."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import Annotated

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    pattern: Positional[Annotated[str, arg(metavar="PATTERN")]] = "*"
    """Names to list, with wildcards."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph import registry
    from sonograph.errors import InputError, did_you_mean
    from sonograph.verbs import show

    rows = []
    for name, listed in registry.methods().items():
        if fnmatchcase(name, args.pattern):
            method = listed.make()
            rows.append(
                {
                    "method": name,
                    "system": listed.system,
                    "learns": (type(method).__doc__ or "").splitlines()[0],
                    "settings": ", ".join(f"{k}={v}" for k, v in method.to_dict().items() if v),
                    "published": f"{listed.trained:,} on {listed.on}" if listed.trained else "",
                }
            )
    if not rows:
        hint = did_you_mean(args.pattern, registry.methods())
        raise InputError(f"no method is called {args.pattern!r}.{hint}")
    if args.json:
        show.as_json(rows)
    else:
        show.table(list(rows[0]), [list(row.values()) for row in rows])
    return 0
