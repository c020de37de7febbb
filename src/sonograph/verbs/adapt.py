"""`sonograph adapt`: teach a pre-trained model your labels."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    model: Positional[Annotated[str, arg(metavar="MODEL")]]
    """A bundled name, a run folder, a published file, or an untrained preset to start from zero."""
    data: tuple[str, ...]
    """A .csv with columns path and label, a folder with one sub-folder a class, or a corpus."""
    task: str = ""
    """Which labels, where clips have several (`sonograph data show` lists them)."""
    method: str = "full"
    """What learns (`sonograph methods` lists them); several are joined by +, as in lora+norms.
    auto tries several, drops the hopeless early, and says why it chose what it chose."""
    minutes: float = 8.0
    """How long --method auto may take."""
    set: tuple[str, ...] = ()
    """Settings of the method, as FIELD=VALUE: --set rank=4 where=attention.*"""
    budget: str = ""
    """Trained numbers at most, the head apart, such as 0.3% or 5000: the method's size follows."""
    pool: Literal["tokens", "statistics", "special", "largest"] = "tokens"
    """What the head reads of the tokens: their mean, their mean and deviation over time in each
    frequency row, the special ones, or the largest values. auto chooses between the first two."""
    merge: bool = False
    """Write a plain whole model, not what was learned beside the one it was learned on."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The run folder, else runs/MODEL-TASK-METHOD. Given one that exists, it goes on."""
    steps: int | None = None
    """Updates, 300 unless given."""
    batch: int | None = None
    """Clips of one update, 32 unless given."""
    lr: float | None = None
    """The highest learning rate; the method has its own."""
    seed: int = 0
    """Of the head, the order and the augmentation."""
    hold_out: str = "test"
    """Clips to measure on, not learned from: test, valid, a fold such as fold1, or none."""
    folder: Path | None = None
    """Where fetched corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.data.named import held_out, open_data, task_of
    from sonograph.metrics.intervals import proportion_interval
    from sonograph.progress import Line
    from sonograph.train.adapt import lower_ranks
    from sonograph.train.finetune import (
        Finetune,
        chosen_methods,
        examples_of,
        finetune,
        frames_of,
        watching,
    )
    from sonograph.train.plan import agree, begun, fingerprint, warmup
    from sonograph.verbs import show
    from sonograph.verbs.train import assignments

    everything = open_data(args.data, args.folder)
    task = task_of(everything, args.task)
    train, test = held_out(everything, task, args.hold_out)
    encoder, name, origin, base = _encoder(args.model, args.seed)
    if args.method == "auto":
        return _auto(args, everything, task, train, test, encoder, name, origin, base)
    config = _config(
        Finetune(
            method=args.method,
            settings=assignments(args.set),
            pool=args.pool,
            budget=args.budget,
        ),
        args,
    )
    methods = chosen_methods(encoder, config)
    lower = lower_ranks(encoder, methods)
    output = args.output or Path("runs") / f"{name}-{task}-{args.method}"
    every = watching(config.train.steps, config.batch, len(test))
    config = config.override(
        {"train.warmup_steps": warmup(output, config.train), "train.eval_every": every}
    )

    plan = {
        "from": args.model,
        "task": task,
        "method": args.method,
        "settings": [one.to_dict() for one in methods],
        "pool": args.pool,
        "batch": config.batch,
        "warmup_steps": config.train.warmup_steps,
        "learn": fingerprint(train),
        "held out": fingerprint(test),
    }
    if begun(output):
        agree(output, plan)
    frames, reading = frames_of(everything.labelled(task), encoder), Line("reading")
    learn = examples_of(train, task, encoder.spec, frames, progress=reading)
    check = examples_of(test, task, encoder.spec, frames, learn.classes) if len(test) else None
    agree(output, plan)  # what cannot be read begins no run
    print(
        f"{origin}: {len(learn.classes)} classes of {task}, {len(learn)} clips to learn from, "
        f"{len(test)} held out, into {output}",
        file=sys.stderr,
    )
    if lower:
        shown = ", ".join(f"{layer} {rank}" for layer, rank in list(lower.items())[:3])
        more = f" and {len(lower) - 3} more" if len(lower) > 3 else ""
        print(f"too thin for the rank, which is lower there: {shown}{more}", file=sys.stderr)
    unheard = sorted(set(learn.classes) - {clip.labels[task] for clip in test})
    if len(test) and unheard:
        print(f"no clip is held out of: {', '.join(unheard)}", file=sys.stderr)
    card = {
        "name": output.name,
        "system": encoder.describe()["system"],
        "summary": f"{origin}, taught {task} ({args.method})",
        "from": args.model,
        "task": task,
        "data": list(args.data),
        "hold_out": args.hold_out,
        "train_clips": len(learn),
        "lower_ranks": lower,
    }
    kept = None if args.merge else base
    result = finetune(encoder, learn, check, output, config, card, Line("teaching"), kept)
    told: dict[str, Any] = {
        "folder": str(output),
        "from": origin,
        "task": task,
        "classes": list(learn.classes),
        "method": args.method,
        "lower_ranks": lower,
        "train_clips": len(learn),
        "test_clips": len(test),
        "seconds": round(result.seconds, 2),
        "trained_parameters": result.trained_parameters,
        "total_parameters": result.total_parameters,
    }
    if result.measured is not None:
        right = int(result.measured.confusion.diagonal().sum())
        accuracy = proportion_interval(right, len(test))
        told |= {"accuracy": accuracy.mean, "accuracy_interval": [accuracy.low, accuracy.high]}
    if args.json:
        show.as_json(told)
        return 0
    if result.measured is not None:
        print(
            f"accuracy {accuracy.mean:.1%} (95 % interval {accuracy.low:.1%} to "
            f"{accuracy.high:.1%}) on {len(test)} held-out clips"
        )
    else:
        print("not measured: no clip is held out")
    print(
        f"{result.trained_parameters:,} of {result.total_parameters:,} weights learned in "
        f"{result.seconds:.0f} s"
    )
    print(f"{output}: try `sonograph tag FILE --model {output}`")
    return 0


def _auto(
    args: Args,
    everything: Any,
    task: str,
    train: Any,
    test: Any,
    encoder: Any,
    name: str,
    origin: str,
    base: str | None,
) -> int:
    """Try several methods, leave the best model and a page that explains the choice."""
    from sonograph.errors import InputError
    from sonograph.metrics.intervals import proportion_interval
    from sonograph.progress import Line
    from sonograph.report.choice import choice_page
    from sonograph.train.auto import Search, require_folds, search
    from sonograph.train.finetune import examples_of, frames_of
    from sonograph.train.plan import agree, begun, fingerprint
    from sonograph.verbs import show

    chosen = {"--set": args.set, "--budget": args.budget, "--steps": args.steps, "--lr": args.lr}
    if given := [option for option, value in chosen.items() if value]:
        raise InputError(f"{given[0]} is of one method: --method auto has its own")
    output = args.output or Path("runs") / f"{name}-{task}-auto"
    config = Search(minutes=args.minutes, seed=args.seed, batch=args.batch or Search.batch)
    plan: dict[str, Any] = {
        "from": args.model,
        "task": task,
        "method": "auto",
        "search": config.to_dict(),
    }
    plan |= {"learn": fingerprint(train), "held out": fingerprint(test)}
    if begun(output):
        agree(output, plan)
    frames = frames_of(everything.labelled(task), encoder)
    learn = examples_of(train, task, encoder.spec, frames, progress=Line("reading"))
    check = examples_of(test, task, encoder.spec, frames, learn.classes) if len(test) else None
    row = {one: number for number, one in enumerate(learn.ids)}
    folds = [
        ([row[clip.id] for clip in taught], [row[clip.id] for clip in held])
        for taught, held in train.folds(task, config.folds + 1)
    ]
    require_folds(folds, config, len(learn))
    agree(output, plan)
    found = search(encoder, learn, folds, check, output, config, None if args.merge else base, Line)
    page = choice_page(found, f"{origin}, taught {task}", output / "report.html")
    told: dict[str, Any] = {"folder": str(output), "from": origin, "task": task, **found.to_json()}
    told["report"] = str(page)
    if found.measured is not None:
        right = int(found.measured.confusion.diagonal().sum())
        accuracy = proportion_interval(right, len(test))
        told |= {"accuracy": accuracy.mean, "accuracy_interval": [accuracy.low, accuracy.high]}
    if args.json:
        show.as_json(told)
        return 0
    show.table(
        ["method", "trained", "first round", "cross-validated", "what became of it"],
        [
            [
                one.method,
                f"{one.trained:,}",
                "" if one.first is None else f"{one.first:.1%}",
                f"{one.accuracy:.1%}" if one.folds else "",
                one.dropped or ("kept" if one.method in found.kept else "finalist"),
            ]
            for one in found.candidates
        ],
    )
    for sentence in found.why:
        print(sentence)
    if found.measured is not None:
        print(
            f"accuracy {accuracy.mean:.1%} (95 % interval {accuracy.low:.1%} to "
            f"{accuracy.high:.1%}) on {len(test)} clips that had no say"
        )
    print(f"{found.seconds:.0f} s; {page} explains the choice")
    print(f"{output}: try `sonograph tag FILE --model {output}`")
    return 0


def _encoder(name: str, seed: int) -> tuple[Any, str, str, str | None]:
    """The encoder to start from, a short name, where it comes from, and how to load it again."""
    from sonograph import registry, weights
    from sonograph.errors import InputError, did_you_mean
    from sonograph.infer.embed import encoder_of

    if name in weights.bundled() or Path(name).exists() or "/" in name:
        return encoder_of(weights.load(name)), Path(name).stem, name, name
    known = [*weights.bundled(), *(preset.name for preset in registry.presets())]
    if name not in known:
        raise InputError(
            f"no model {name!r}: neither bundled, nor a folder, file or preset."
            f"{did_you_mean(name, known) or ' `sonograph models` lists them.'}"
        )
    return registry.build(name, seed=seed), name, f"{name}, untrained", None


def _config(config: Any, args: Args) -> Any:
    """The configuration with what the command line says; the rate is the method's unless given."""
    from sonograph.train.adapt import methods_of

    lr = args.lr or min(one.lr for one in methods_of(args.method))
    given = {"train.steps": args.steps, "batch": args.batch, "train.lr": lr}
    changes = {key: value for key, value in given.items() if value is not None}
    return config.override({**changes, "train.seed": args.seed})
