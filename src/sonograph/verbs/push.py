"""`sonograph push`: a model of yours to a hub, or to a folder others can read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    model: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """A run folder or a model folder."""
    to: Positional[Annotated[str, arg(metavar="TO")]]
    """A hub id, owner/name, or a new folder."""
    private: bool = False
    """Make a repository of the hub that only you see."""
    message: str = ""
    """What to call this change on the hub."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.hub import push
    from sonograph.verbs import show

    where = push(args.model, args.to, args.private or None, args.message)
    if args.json:
        show.as_json({"model": str(args.model), "to": where})
    else:
        print(f'{where}: `sonograph info {where}`, or sound.load("{where}")')
    return 0
