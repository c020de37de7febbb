"""`sonograph search`: the sounds of a folder that are like a sound."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Args:
    query: Positional[Path]
    """The sound to compare with."""
    collection: Positional[tuple[Path, ...]]
    """Folders or files to search, or one .npz that `sonograph embed -o` wrote."""
    model: str = "ssast-mini"
    """A bundled name, a run folder, a published file, or a hub id."""
    top: int = 10
    """How many to print."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.infer.search import search
    from sonograph.infer.windows import sound_files
    from sonograph.outputs import Embedding
    from sonograph.progress import Line
    from sonograph.verbs import show
    from sonograph.weights import load

    model = load(args.model)
    if len(args.collection) == 1 and args.collection[0].suffix == ".npz":
        index: object = Embedding.open(args.collection[0])
    else:
        index = sound_files(args.collection)
    found = search(model, args.query, index, args.top, Line("listening"))  # type: ignore[arg-type]
    if args.json:
        show.as_json(found.to_json())
    else:
        for match in found.matches:
            print(f"{match.score:6.3f}  {match.name}")
    return 0
