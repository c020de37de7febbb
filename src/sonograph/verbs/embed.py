"""`sonograph embed`: sounds to vectors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]]
    """Sound files, or folders of them."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Write a .npz of names and values instead of printing."""
    model: str = "ssast-mini"
    """A bundled name, a run folder, a published file, or a hub id."""
    pool: Literal["statistics", "mean"] = "statistics"
    """Mean and deviation over time of each frequency row, or one mean of all."""
    batch: int = 8
    """Windows at once: more is faster and takes more memory."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.infer.embed import embed
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import show
    from sonograph.weights import load

    files = sound_files(args.sounds)
    result = embed(load(args.model), files, args.pool, args.batch, Line("embedding"))
    if args.output:
        if args.output.suffix != ".npz":
            from sonograph.errors import InputError

            raise InputError(f"{args.output} must end in .npz")
        result.save(args.output)
    if args.json:
        told = {"vectors": len(result), "width": result.values.shape[1], "model": result.model}
        show.as_json(told | {"output": str(args.output)} if args.output else result.to_json())
    elif args.output:
        print(f"{len(result)} vectors of {result.values.shape[1]} values in {args.output}")
    else:
        for name, values in zip(result.names, result.values):
            print(name, " ".join(f"{value:.5g}" for value in values), sep="\t")
    return 0
