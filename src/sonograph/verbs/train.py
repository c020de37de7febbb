"""`sonograph train`: pre-train a model on sound, labelled or not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    preset: Positional[Annotated[str, arg(metavar="PRESET")]]
    """What to train: a preset of `sonograph models`."""
    data: tuple[str, ...] = ("mini",)
    """Sets or corpora (see `sonograph data`), folders, .csv or .jsonl files."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The run folder, else runs/PRESET. Given one that exists, training goes on."""
    steps: int | None = None
    """Updates; the recipe has its own number."""
    batch: int | None = None
    """Clips of one update."""
    lr: float | None = None
    """The highest learning rate."""
    seed: int | None = None
    """Of weights, order, crops and masks."""
    objective: str | None = None
    """joint, discriminative or generative where the system has them; from labels, on any encoder:
    look (k nearest neighbours), supcon or cross-entropy."""
    task: str | None = None
    """Which labels, for objectives that learn from labels, where clips have several."""
    stop_when_flat: float | None = None
    """Stop where the held-out loss (or what the recipe follows) has less than this left to gain in
    the steps to come; forty evaluations in all, unless the recipe has more. What the end of a
    falling learning rate brings cannot be seen before: --set train.schedule=constant."""
    set: tuple[str, ...] = ()
    """More of the recipe, as FIELD=VALUE: --set train.weight_decay=0.05 workers=2."""
    folder: Path | None = None
    """Where fetched corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    processes: int = 1
    """Processes on this machine, each with a part of every batch; 0: one a GPU."""
    nodes: int = 1
    """Machines, which are all given this command and see the same data and run folder."""
    at: str = ""
    """With --nodes: where they meet, HOST:PORT of one of them."""
    parallel: Literal["replicate", "shard"] | None = None
    """Of several processes: each has all weights (DDP), or a shard of them (FSDP2)."""
    restarts: int = 3
    """How often processes are started again after one died."""
    json: bool = False
    """Print JSON."""


NEXT = "`sonograph embed FILE --model {0}` or `sonograph adapt {0}`"


def run(args: Args) -> int:
    from sonograph.train.launch import one_voice

    with one_voice():
        return _run(args)


def _run(args: Args) -> int:
    import sys

    from sonograph import registry
    from sonograph.data.named import task_of
    from sonograph.errors import InputError
    from sonograph.recipes import FROM_LABELS, recipe_module
    from sonograph.train.launch import Group, launch, launched, main_process
    from sonograph.train.plan import agree, fingerprint, warmup
    from sonograph.verbs import show

    group = Group(args.processes, args.nodes, args.at, args.restarts)
    preset = registry.preset(args.preset)
    module = recipe_module(FROM_LABELS.get(args.objective or "", preset.system))
    recipe = module.recipe_of(args.preset)
    if args.task is not None and not hasattr(recipe, "task"):
        raise InputError(
            "--task is for objectives that learn from labels: add --objective with one of "
            f"{', '.join(FROM_LABELS)}"
        )
    recipe = recipe.override(changes(args))
    output = args.output or Path("runs") / args.preset
    recipe = recipe.override({"train.warmup_steps": warmup(output, recipe.train)})
    steps = recipe.train.steps
    if args.stop_when_flat is not None:
        recipe = recipe.override({"train.eval_every": often(recipe.train.eval_every, steps)})
    clips = _clips(args, preset)
    from_labels = args.objective in FROM_LABELS or bool(getattr(recipe, "task", ""))
    if from_labels:  # others do without
        recipe = recipe.override(task=task_of(clips, recipe.task))
    if group.several and not launched():  # what is wrong so far was said once, and not by each
        group.require_clips(recipe.batch)
        return launch(group, ["train", *words(args)])
    if main_process():
        print(
            f"{args.preset}, {steps} steps of {recipe.batch} clips, on {len(clips):,} clips, "
            f"{clips.seconds / 60:.0f} min, into {output}",
            file=sys.stderr,
        )
    agree(
        output,
        {
            "preset": args.preset,
            "objective": getattr(recipe, "objective", ""),
            "batch": recipe.batch,
            "warmup_steps": recipe.train.warmup_steps,
            "clips": fingerprint(clips),
            **({"task": recipe.task} if hasattr(recipe, "task") else {}),
        },
    )
    summary = module.pretrain(args.preset, clips, output, recipe, _line("training"))
    if not main_process():
        return 0
    told = _told(args.preset, summary)
    if args.json:
        show.as_json(told)
    else:
        if told["ended"]:
            print(f"stopped: {told['ended']}")
        for name, value in told["held_out"].items():
            print(f"held-out {name}: {value:.4g}")
        print(
            f"{told['steps']} steps in {told['seconds']:.0f} s, {told['clips_per_s']:.1f} clips/s"
        )
        print(f"{output}: try {getattr(module, 'NEXT', NEXT).format(output)}")
    return 0


def words(args: Args) -> list[str]:
    """The arguments again, as they would be typed."""
    told: list[str] = [args.preset]
    for field in dataclasses.fields(args):
        value = getattr(args, field.name)
        if field.name == "preset" or value == field.default:
            continue
        name = f"--{field.name.replace('_', '-')}"
        told += [name] if value is True else [name, *_several(value)]
    return told


def _several(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]


def changes(args: Args) -> dict[str, Any]:
    """What the command line says differently from the recipe."""
    named = {
        "train.steps": args.steps,
        "batch": args.batch,
        "train.lr": args.lr,
        "train.seed": args.seed,
        "objective": args.objective,
        "train.stop_when_flat": args.stop_when_flat,
        "train.parallel": args.parallel,
        "task": args.task,
    }
    found = {name: value for name, value in named.items() if value is not None}
    return {**found, **assignments(args.set)}


def assignments(given: tuple[str, ...]) -> dict[str, Any]:
    """FIELD=VALUE words as values: numbers where they are numbers, else words."""
    from sonograph.errors import InputError

    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text!r} is no FIELD=VALUE, such as train.lr=3e-4")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:  # a word, not a number
            found[name] = value
    return found


EVALUATIONS = 40  # what a learning curve needs to be followed


def often(eval_every: int, steps: int) -> int:
    """Steps between evaluations: the recipe's, or fewer to have enough of a curve."""
    enough = max(1, steps // EVALUATIONS)
    return min(eval_every, enough) if eval_every else enough


def _clips(args: Args, preset: Any) -> Any:
    """The clips at the model's rate: what is compressed or at another rate is decoded once.

    Separators read the files themselves, with all their channels.
    """
    from sonograph import registry
    from sonograph.data.corpora import data_folder
    from sonograph.data.named import open_data
    from sonograph.data.resampled import resampled

    clips = open_data(args.data, args.folder)
    if registry.system(preset.system).task == "separate":
        return clips
    root = args.folder or data_folder()
    rate_hz = preset.make().features.rate_hz
    return resampled(clips, rate_hz, root / "decoded", _line("decoding"))


def _line(title: str) -> Any:
    """Progress, of the process that speaks for all."""
    from sonograph.progress import Line, silent
    from sonograph.train.launch import main_process

    return Line(title) if main_process() else silent


def _told(name: str, summary: Any) -> dict[str, Any]:
    return {
        "name": name,
        "folder": str(summary.folder),
        "steps": summary.steps,
        "seconds": round(summary.seconds, 2),
        "clips_per_s": round(summary.clips_per_s, 2),
        "waiting_share": round(summary.waiting_share, 4),
        "peak_memory_bytes": summary.peak_memory,
        "held_out": summary.best or {},
        "last": summary.last,
        "ended": summary.ended,
    }
