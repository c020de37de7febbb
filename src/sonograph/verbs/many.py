"""Verbs over a manifest: the options that all of them share, and what is said at the end.

A verb takes part by a field `many`, and a function `prepare(args)` that loads its model and gives
the `scale.work.Answer` of one sound.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sonograph.scale.run import Mapped
    from sonograph.scale.work import Answer


@dataclasses.dataclass(frozen=True)
class Pool:
    """How much is done at once, and where."""

    engine: Literal["local", "ray"] = "local"
    """A pool of processes here, or Ray Data actors: here, or on the cluster at RAY_ADDRESS."""
    jobs: int = 0
    """Processes, each with its own model and its share of the cores; 0: as many as cores."""
    shard_size: int = 100
    """Sounds that are done, marked, and done again together."""
    largest_mb: int = 2000
    """A sound that is fetched from elsewhere may be so large."""


@dataclasses.dataclass(frozen=True)
class Many(Pool):
    """Many sounds: -o is then a folder, which a run that was stopped goes on with."""

    manifest: str = ""
    """Sounds by a .jsonl or .csv with paths or URLs, or a folder; on any path fsspec knows."""


ONE_BY_ONE = ("sounds", "output", "many", "json")  # say nothing about the answer


@dataclasses.dataclass(frozen=True)
class VerbWork:
    """A verb as the work of a pool."""

    verb: str
    args: Any

    @property
    def model_name(self) -> str:
        return self.args.model

    def settings(self) -> dict[str, Any]:
        fields = [field.name for field in dataclasses.fields(self.args)]
        kept = {name: getattr(self.args, name) for name in fields if name not in ONE_BY_ONE}
        told = {name: _plain(value) for name, value in kept.items()}
        return {"verb": self.verb, **told, "weights": weights_sum(self.args.model)}

    def prepare(self) -> Answer:
        return importlib.import_module(f"sonograph.verbs.{self.verb}").prepare(self.args)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def weights_sum(model: str) -> str:
    """The checksum on a model's card, where there is one to be found without loading it."""
    from sonograph.weights import CARD, bundled, read_json

    card = bundled().get(model, Path(model)) / CARD
    return str(read_json(card).get("sha256", "")) if card.is_file() else ""


def run(verb: str, args: Any, idle: Iterable[str] = ()) -> int:
    """A verb over its manifest. `idle` are options that mean nothing there."""
    from sonograph.errors import InputError
    from sonograph.progress import Line
    from sonograph.scale.run import map_shards
    from sonograph.verbs import show

    many: Many = args.many
    if args.sounds:
        raise InputError(f"give --manifest or sounds, not both: {args.sounds[0]} is too much")
    defaults = {field.name: field.default for field in dataclasses.fields(args)}
    for name in idle:
        if getattr(args, name) != defaults[name]:
            raise InputError(
                f"--{name.replace('_', '-')} means nothing with --manifest: results are a folder"
            )
    output = str(args.output or "")
    if not output or output == "-":
        raise InputError("where to? give -o FOLDER, on any path fsspec knows")
    done = map_shards(
        VerbWork(verb, args), many.manifest, output,
        many.engine, many.jobs, many.shard_size, many.largest_mb, Line(verb),
    )  # fmt: skip
    if args.json:
        show.as_json(done.to_json())
    else:
        tell(done)
    return 1 if done.failed else 0


def tell(done: Mapped) -> None:
    """What a run came to, in two lines."""
    from sonograph.progress import clock

    speed = f" in {clock(done.seconds)}, {done.items_per_s:.1f} a second" if done.new else ""
    print(f"{done.new:,} of {done.items:,} sounds heard{speed}")
    failed = f"; {done.failed:,} could not be used, their rows say why" if done.failed else ""
    print(f"{', '.join(done.files)} in {done.output}{failed}")


def given(sounds: Sequence[Path]) -> Sequence[Path]:
    """Sounds that were given one by one; InputError where there are none."""
    from sonograph.errors import InputError

    if not sounds:
        raise InputError("which sounds? give files or folders, or --manifest with a list of them")
    return sounds
