"""`sonograph embed`: sounds to vectors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from sonograph.verbs.many import Many

if TYPE_CHECKING:
    from sonograph.scale.work import Answer, Given


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]] = ()
    """Sound files, or folders of them."""
    output: Annotated[str | None, arg(aliases=["-o"])] = None
    """Write a .npz of names and values instead of printing; of a manifest, into a folder."""
    model: str = "ssast-mini"
    """A bundled name, a run folder, a published file, or a hub id."""
    pool: Literal["statistics", "mean"] = "statistics"
    """Mean and deviation over time of each frequency row, or one mean of all."""
    batch: int = 8
    """Windows at once: more is faster and takes more memory."""
    json: bool = False
    """Print JSON."""
    many: Many = Many()


def run(args: Args) -> int:
    from sonograph.infer.embed import embed
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import many, show
    from sonograph.weights import load

    if args.many.manifest:
        return many.run("embed", args)
    files = sound_files(many.given(args.sounds))
    result = embed(load(args.model), files, args.pool, args.batch, Line("embedding"))
    if args.output:
        if Path(args.output).suffix != ".npz":
            from sonograph.errors import InputError

            raise InputError(f"{args.output} must end in .npz")
        result.save(args.output)
    if args.json:
        told = {"vectors": len(result), "width": result.values.shape[1], "model": result.model}
        show.as_json(told | {"output": args.output} if args.output else result.to_json())
    elif args.output:
        print(f"{len(result)} vectors of {result.values.shape[1]} values in {args.output}")
    else:
        for name, values in zip(result.names, result.values):
            print(name, " ".join(f"{value:.5g}" for value in values), sep="\t")
    return 0


def prepare(args: Args) -> Answer:
    """The vector of a sound, as a pool's result."""
    from sonograph.infer.embed import embed, encoder_of
    from sonograph.scale.work import Done
    from sonograph.weights import load

    model = load(args.model)
    encoder_of(model)

    def answer(given: Given) -> Done:
        vector = embed(model, given.sound, args.pool, args.batch).values[0]
        return Done({"width": len(vector)}, vector)

    return answer
