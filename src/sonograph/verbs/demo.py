"""`sonograph demo`: pre-train, adapt, measure, and a page to look at."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Args:
    data: Literal["mini", "core"] = "mini"
    """Which set: mini is a download of 30 MB, core of 142 MB."""
    folder: Path = Path("runs/demo")
    """Where everything is written; a second run goes on from what is there."""
    data_folder: Path | None = None
    """Where sounds are kept (SONOGRAPH_DATA, or ./sonograph-data)."""
    minutes: float = 3.0
    """Minutes of pre-training."""
    seeds: int = 3
    """Splits and seeds of every arm."""
    updates: int = 60
    """Updates of every adaptation."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    import numpy as np

    from sonograph.data import corpora
    from sonograph.errors import InputError
    from sonograph.progress import Line, clock
    from sonograph.recipes import demo
    from sonograph.verbs import show

    if args.minutes <= 0 or args.seeds < 2 or args.updates < 10:
        raise InputError("--minutes must be above 0, --seeds at least 2, --updates at least 10")
    place = args.data_folder or corpora.data_folder()
    missing = [row for row in corpora.plan([args.data], place) if not row["ready"]]
    if missing:
        print(f"fetching {sum(row['megabytes'] for row in missing):.0f} MB:", file=sys.stderr)
        for row in missing:
            print(
                f"  {row['name']}: {row['what']}, {row['megabytes']} MB, {row['licence']}",
                file=sys.stderr,
            )
        corpora.get([args.data], place, Line("fetching"))
    found = demo.run(args.data, args.folder, place, args.minutes, args.seeds, args.updates, Line)
    if args.json:
        show.as_json(demo.to_json(found))
        return 0
    rows = []
    for name, (task, outcomes) in found.outcomes.items():
        for outcome in outcomes:
            mean, spread = np.mean(outcome.accuracies), np.std(outcome.accuracies, ddof=1)
            rows.append(
                [
                    name,
                    len(task.examples),
                    outcome.way.name,
                    f"{mean:.1%} ± {spread:.1%}",
                    f"{task.majority:.1%}",
                    outcome.trained_parameters,
                    outcome.way.config.train.steps + outcome.way.extra_updates,
                    f"{outcome.seconds:.1f} s",
                ]
            )
    show.table(
        ["task", "clips", "arm", "accuracy", "majority", "trained weights", "updates", "a seed"],
        rows,
    )
    total = sum(seconds for _, seconds in found.stages)
    print(f"took {clock(total)}, {found.peak_memory_bytes / 1e9:.1f} GB at most")
    print(f"look at it: {found.report}")
    print(f"use it: sonograph tag FILE --model {args.folder}/effect/full/seed0")
    return 0
