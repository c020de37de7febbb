"""`sonograph bench`: speed and memory beside the best-known peers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Args:
    names: Positional[tuple[str, ...]] = ()
    """Which ones: files of benchmarks/, all if none is given."""
    record: bool = False
    """Write what was measured to records/benchmarks/."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    import importlib
    import sys
    import time

    from sonograph import records
    from sonograph.verbs import show

    folder = _folder()
    known = _known(folder)
    chosen = [_checked(name, known) for name in args.names] or known
    if str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    timing = importlib.import_module("benchmarks.timing")
    told: dict[str, Any] = {}
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        began = time.perf_counter()
        rows = module.main()
        told[name] = [{**row, "reached": timing.reached(row)} for row in rows]
        if args.record:
            record = _record(module, rows, timing)
            path = records.write(records.stamped(record, time.perf_counter() - began), name)
            print(f"recorded in {path}", file=sys.stderr)
        if not args.json:
            timing.show(rows)
    if args.json:
        show.as_json(told)
    return 1 if any(row["reached"] is False for rows in told.values() for row in rows) else 0


def _folder() -> Path:
    from sonograph.errors import InputError
    from sonograph.records import checkout

    root = checkout()
    if root is None or not (root / "benchmarks").is_dir():
        raise InputError(
            "the benchmarks are not part of an installed package: clone the repository and run "
            "`make bench` there"
        )
    return root / "benchmarks"


def _known(folder: Path) -> list[str]:
    """Those that can be run: every file with a `main`."""
    return sorted(
        path.stem for path in folder.glob("*.py") if "\ndef main(" in path.read_text("utf-8")
    )


def _checked(name: str, known: list[str]) -> str:
    from sonograph.errors import InputError, did_you_mean

    if name not in known:
        hint = did_you_mean(name, known) or f" There are {', '.join(known)}."
        raise InputError(f"there is no benchmark {name!r}.{hint}")
    return name


def _record(module: Any, rows: list[dict[str, Any]], timing: Any) -> Any:
    """The rows as a record; a ratio is how many times the peer's time ours fits into."""
    from sonograph.records import Figure, Record

    figures = tuple(
        Figure(
            name=f"{row['name']} ({row['peer']})" if "peer" in row else row["name"],
            value=timing.amount(row),
            low=row.get("low"),
            high=row.get("high"),
            unit="times as fast" if "ratio" in row else row["unit"],
            goal=timing.goal(row),
        )
        for row in rows
    )
    met = [timing.reached(row) for row in rows]
    return Record(
        system=module.SYSTEM,
        kind="benchmark",
        sentence=(module.__doc__ or "").splitlines()[0],
        rule="medians of both sides timed alternately in one run; every goal is reached",
        verdict="not shown" if False in met else "shown",
        measured=figures,
        details={"rows": rows},
    )
