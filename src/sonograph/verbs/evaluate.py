"""`sonograph evaluate`: measure a labelled model on clips it has not seen."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

WIDEST = 12  # classes of a confusion matrix that is still printed


@dataclasses.dataclass(frozen=True)
class Args:
    model: Positional[Annotated[str, arg(metavar="MODEL")]]
    """A model with labels: a run folder of `sonograph adapt`, or a published file."""
    data: tuple[str, ...]
    """Sets or corpora, folders, .csv or .jsonl files, with labels."""
    task: str = ""
    """Which labels, where clips have several; else those that the model was taught."""
    split: str = "test"
    """test, valid, train, a fold such as fold1, or all."""
    metrics: tuple[Literal["accuracy", "map"], ...] = ("accuracy", "map")
    """What to print: accuracy, mean average precision (map)."""
    folder: Path | None = None
    """Where fetched corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.data.named import measured_part, open_data, task_of
    from sonograph.errors import InputError
    from sonograph.infer.evaluate import evaluate
    from sonograph.nn.heads import Tagging
    from sonograph.progress import Line
    from sonograph.verbs import show
    from sonograph.weights import load

    model: Any = load(args.model)
    if isinstance(model, Tagging) and model.answer == "several":
        raise InputError(
            f"{args.model} gives a sound several labels at once, and one is measured here: "
            f"`sonograph adapt {args.model} --data labels.csv` teaches it to choose one"
        )
    if not isinstance(model, Tagging) or not model.labels:
        raise InputError(
            f"{args.model} has no labels to measure: adapt it first, "
            f"`sonograph adapt {args.model} --data labels.csv`"
        )
    everything = open_data(args.data, args.folder)
    card: Any = getattr(model, "card", {})
    task = task_of(everything, args.task, str(card.get("task", "")))
    labelled = everything.labelled(task)
    clips = labelled if args.split == "all" else measured_part(everything, task, args.split)
    if not len(clips):
        raise InputError(
            f"none of the {len(labelled)} clips with a {task} is in the part {args.split!r}: "
            "give --split all to measure on every clip"
        )
    found = evaluate(model, clips, task, Line("measuring"))
    told = {"model": args.model, "split": args.split, **found.to_json()}
    for metric in ("accuracy", "map"):
        if metric not in args.metrics:
            told.pop(metric)
            told.pop(f"{metric}_interval", None)
    if args.json:
        show.as_json(told)
    else:
        _print(found, args)
    return 0


def _print(found: Any, args: Args) -> None:
    from sonograph.verbs import show

    part = "all clips" if args.split == "all" else f"the {args.split} split"
    print(f"{found.task} on {part}, {found.accuracy.count} clips")
    if "accuracy" in args.metrics:
        accuracy = found.accuracy
        print(
            f"accuracy {accuracy.mean:.1%} "
            f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})"
        )
    if "map" in args.metrics and found.mean_average_precision is not None:
        print(f"mean average precision {found.mean_average_precision:.3f}")
    columns = ("class", "clips", "recall", "precision", "average precision")
    show.table(columns, [dataclasses.astuple(score) for score in found.classes])
    names = [score.name for score in found.classes]
    if len(names) <= WIDEST:
        print("rows: what it is; columns: what it was taken for")
        rows = [[name, *counts] for name, counts in zip(names, found.confusion)]
        show.table(("", *names), rows)
    else:
        for true, answer, clips in found.confusions():
            print(f"{clips} of {true} taken for {answer}")
