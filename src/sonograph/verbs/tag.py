"""`sonograph tag`: sounds to labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Args:
    sounds: Positional[tuple[Path, ...]]
    """Sound files, or folders of them."""
    model: str = ""
    """A model with labels: a run folder, a published file, or a hub id."""
    top: int = 5
    """How many labels to print."""
    spans: bool = False
    """Print what each stretch of the sound holds, too."""
    batch: int = 8
    """Windows at once."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.errors import InputError
    from sonograph.infer.tag import tag
    from sonograph.infer.windows import sound_files
    from sonograph.progress import Line
    from sonograph.verbs import show
    from sonograph.weights import load

    if not args.model:
        raise InputError(
            "which labels? give --model RUN, a folder that `sonograph adapt` or `sonograph demo` "
            "wrote (`runs/demo/effect/full/seed0` after a demo)"
        )
    files = sound_files(args.sounds)
    model, results = load(args.model), []
    for file in files:
        results.append(tag(model, file, args.batch, Line(f"tagging {file.name}")))  # type: ignore[arg-type]
    if args.json:
        show.as_json([result.to_json() for result in results])
        return 0
    for result in results:
        print(result.name)
        for label, score in result.top(args.top):
            print(f"  {score:6.1%}  {label}")
        if args.spans:
            for span in result.spans:
                print(f"  {span.start_s:8.2f} - {span.end_s:8.2f} s  {span.label} {span.score:.1%}")
    return 0
