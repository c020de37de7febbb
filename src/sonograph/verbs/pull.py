"""`sonograph pull`: a model of a hub, or of a folder, into a folder of your own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    name: Positional[str]
    """A hub id, owner/name, or a model folder."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The new folder, else models/NAME."""
    revision: str | None = None
    """A branch, a tag or a commit of the hub."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.hub import pull
    from sonograph.verbs import show

    target = args.output or Path("models") / Path(args.name).name
    folder = pull(args.name, target, args.revision)
    if args.json:
        show.as_json({"name": args.name, "folder": str(folder)})
    else:
        print(f"{folder}: `sonograph info {folder}`")
    return 0
