"""`sonograph soup`: several runs of one task, averaged into one model."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    runs: Positional[tuple[str, ...]]
    """Run folders of `sonograph adapt`, of one model and one task; of interpolate, the start
    (say, a run of --method linear) and the tuned run."""
    data: tuple[str, ...]
    """Sets or corpora, folders, .csv or .jsonl files, with labels: those that the runs learned."""
    task: str = ""
    """Which labels, where clips have several; else those that the runs were taught."""
    recipe: Literal["greedy", "uniform", "learned", "interpolate"] = "greedy"
    """Keep what helps; the mean of all; learned weights for every tensor; start and tuned run."""
    share: float = 0.75
    """Of the tuned run, in interpolate."""
    output: Annotated[Path, arg(aliases=["-o"])] = Path("runs/soup")
    """The folder of the soup."""
    hold_out: str = ""
    """Clips that no run learned: test, valid, a fold, or all; else those that the runs held out.
    One half of them decides, the other measures."""
    folder: Path | None = None
    """Where fetched corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph import weights
    from sonograph.data.named import open_data, task_of
    from sonograph.errors import InputError
    from sonograph.progress import Line
    from sonograph.train.finetune import examples_of, frames_of
    from sonograph.train.soup import Brewing, brew, read_run, require_one_start
    from sonograph.verbs import show

    if not 0 <= args.share <= 1:
        raise InputError(f"--share is {args.share}: it lies in 0 to 1")
    runs = [read_run(folder) for folder in args.runs]
    require_one_start(runs, args.recipe)
    _require_free(args.output, args.runs)
    everything = open_data(args.data, args.folder)
    task = task_of(everything, args.task, str(runs[0].card.get("task", "")))
    part = args.hold_out or _held_out_by(runs)
    learned, choose, check = divided(everything.labelled(task), task, part)

    encoder: Any = weights.build(runs[0].described["encoder"])
    frames = frames_of(everything.labelled(task), encoder)

    def hear(clips: Any) -> Any:
        unknown = sorted(set(clips.classes(task)) - set(runs[0].labels)) if len(clips) else []
        if unknown:
            raise InputError(f"the runs have no label {unknown[0]!r}: give the data they learned")
        if not len(clips):
            return None
        return examples_of(clips, task, encoder.spec, frames, runs[0].labels)

    settling = hear(learned) if _has_batch_norms(encoder) else None
    config = Brewing(args.recipe, args.share)
    print(
        f"{len(runs)} runs, {args.recipe}: {len(choose)} held-out clips of {task} decide, "
        f"{len(check)} measure",
        file=sys.stderr,
    )
    made = brew(runs, config, hear(choose), hear(check), settling, Line("stirring"))
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    card = {
        "name": args.output.name,
        "system": runs[0].described["encoder"]["system"],
        "summary": f"{args.recipe} soup of {len(runs)} runs, taught {task}",
        "from": str(runs[0].card.get("from", "")),
        "task": task,
        "data": list(args.data),
        "hold_out": part,
        "soup": made.to_json(),
    }
    weights.save_folder(args.output, made.model, card)
    told = {
        "folder": str(args.output),
        "task": task,
        "deciding_clips": len(choose),
        "measuring_clips": len(check),
        **made.to_json(),
    }
    if args.json:
        show.as_json(told)
    else:
        _print(made, len(choose), len(check), args.output)
    return 0


def divided(labelled: Any, task: str, part: str) -> tuple[Any, Any, Any]:
    """(clips that the runs learned, held-out ones that decide, held-out ones that measure).

    A recording is in one of them alone. Where the held-out clips are of one recording, all of them
    decide. Raises InputError where none is held out.
    """
    from sonograph.data.clips import Clips
    from sonograph.data.named import measured_part
    from sonograph.errors import InputError

    none = Clips([])
    held = labelled if part == "all" else none
    if part not in ("all", "none"):
        held = measured_part(labelled, task, part)
    if not len(held):
        raise InputError(
            f"no held-out clip of {task} to decide on (part {part!r}): give clips that no run "
            "learned, with --data FILE --hold-out all"
        )
    ids = {clip.id for clip in held}
    learned = labelled.filter(lambda clip: clip.id not in ids)
    measuring, deciding = held.folds(task, 2)[0] if len(held) > 1 else (none, held)
    return (learned, held, none) if not len(deciding) else (learned, deciding, measuring)


def _held_out_by(runs: Any) -> str:
    """The part of the split that all runs left alone."""
    from sonograph.errors import InputError

    parts = {str(run.card.get("hold_out", "test")) for run in runs}
    if len(parts) > 1:
        raise InputError(
            f"the runs held out different clips ({', '.join(sorted(parts))}): give clips that none "
            "of them learned, with --data FILE --hold-out all"
        )
    return parts.pop()


def _require_free(output: Path, runs: tuple[str, ...]) -> None:
    """Raise InputError where a soup would take the place of something else."""
    from sonograph import weights
    from sonograph.errors import InputError

    if any(output.resolve() == Path(run).resolve() for run in runs):
        raise InputError(f"{output} is one of the runs: choose another folder with -o")
    card = output / weights.CARD
    taken = card.is_file() and "soup" not in weights.read_json(card)
    if taken or (output.exists() and not output.is_dir()):
        raise InputError(f"{output} holds something that is no soup: choose another folder with -o")


def _has_batch_norms(encoder: Any) -> bool:
    from sonograph.systems.adapt.soups import has_batch_norms

    return has_batch_norms(encoder)


def _print(made: Any, deciding: int, measuring: int, output: Path) -> None:
    from sonograph.metrics.intervals import proportion_interval
    from sonograph.verbs import show

    tried = "without it" if made.config.recipe == "uniform" else "soup with it"
    columns = ("run", "alone", tried, "brought", "share", "barrier", "alone, unseen clips")
    rows = [
        (one.run, one.alone, one.tried, one.brought, one.share, one.barrier, one.measured)
        for one in made.ingredients
    ]
    show.table(columns, rows)
    if made.curve:
        show.table(("share of the tuned run", "accuracy"), made.curve)
    where, count = (made.measured, measuring) if made.measured else (made.chosen, deciding)
    words = "that decided nothing" if made.measured else "that decided, too: it flatters"
    print(f"accuracy on {count} clips {words}:")
    names = {
        "best": f"best run alone ({made.best})",
        "soup": f"{made.config.recipe} soup",
        "ensemble": f"ensemble of all {len(made.ingredients)}, as many times slower",
    }
    for key, name in names.items():
        found = proportion_interval(round(where[key] * count), count)
        print(f"  {found.mean:6.1%} ({found.low:.1%} to {found.high:.1%})  {name}")
    print(f"{output}: try `sonograph tag FILE --model {output}`")
