"""`sonograph systems`: every published system of the house, and how far it works."""

from __future__ import annotations

import dataclasses

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Args:
    name: Positional[str] = ""
    """One system: its evidence in words. None: the table of all."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph import records, registry
    from sonograph.atlas import rungs
    from sonograph.verbs import show

    if args.name:
        entries = [rungs.entry_of(registry.system(args.name), records.read_all())]
    else:
        entries = rungs.table()
    if args.json:
        show.as_json(entries)
    elif args.name:
        entry = entries[0]
        print(f"{entry['name']}: {entry['title']}")
        for rung in rungs.NAMES:
            print(
                f"  {'yes' if entry['rungs'][rung] else '-':<4} {rung:<7} {entry['evidence'][rung]}"
            )
    else:
        columns = ["system", "task", *rungs.NAMES]
        show.table(columns, [[e["name"], e["task"], *e["rungs"].values()] for e in entries])
        reached = sum(sum(entry["rungs"].values()) for entry in entries)
        print(f"{reached} of {len(rungs.NAMES) * len(entries)} rungs; a rung counts by evidence")
        print("only. `sonograph systems NAME` says what there is and what is missing.")
    return 0
