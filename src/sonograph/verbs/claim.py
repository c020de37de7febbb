"""`sonograph claim`: measure what a paper claims, here and now."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Args:
    system: Positional[str]
    """A system whose claim has a recipe."""
    scale: Literal["cpu", "gpu"] = "cpu"
    """At most 20 minutes of two cores, or of one large GPU."""
    folder: Path | None = None
    """Where the runs are kept (runs/claim-SYSTEM-SCALE); started again, it goes on."""
    data_folder: Path | None = None
    """Where sounds are kept (SONOGRAPH_DATA, or ./sonograph-data)."""
    part: str = ""
    """One part alone of a claim that has several, such as boundaries of fastspeech's."""
    record: bool = False
    """Write the records into records/, in a checkout."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph import records
    from sonograph.progress import Line
    from sonograph.recipes import claim
    from sonograph.verbs import show

    found = claim(args.system, args.scale, args.folder, args.data_folder, Line, args.part)
    if args.record:
        for file, record in found:
            records.write(record, file)
    if args.json:
        show.as_json([record.to_dict() for _, record in found])
        return 0
    for _, record in found:
        print(f"\n{record.sentence}\n  {record.verdict.upper()}: {record.measured[0]}")
        print(f"  rule: {record.rule}")
        show.table(["measured", "value"], [[f.name, f.amount()] for f in record.measured[1:]])
    return 0
