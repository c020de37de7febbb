"""DSEE on tasks that are new to its base: what sparse entries add, and what pruning costs."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from sonograph import weights
from sonograph.data.clips import Clips
from sonograph.metrics.cost import count_weights, macs
from sonograph.metrics.intervals import mean_interval, paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.adapt import contest
from sonograph.recipes.adapt.contest import QUESTIONS, RULE, Plan
from sonograph.recipes.arms import Task, spent, verdict_of
from sonograph.records import Figure, Record, stamped
from sonograph.systems.adapt.dsee import DSEE
from sonograph.train.finetune import Finetune, Shuffled, Teach, finetune, measure
from sonograph.train.trainer import Trainer


def fit(folder: Path, clips: Clips, steps: int | None, progress: Progress = silent) -> Any:
    """Two short trainings on real clips, a fifth of the weights pruned between them."""
    config = Finetune(method="dsee", settings={"prune": 0.2}).override({"train.lr": DSEE.lr})
    return contest.fit(config, folder, clips, steps, progress)


# --- the claim -----------------------------------------------------------------------------------

SCALES = {
    "cpu": Plan(updates=24, seeds=3),
    "gpu": Plan(updates=400, seeds=5, frames=256, batch=32, labels=50),
}
# on the widths of the base, 192, an entry for each number of one rank: equal counts
CHANGES = {
    "low rank alone": DSEE(rank=2, entries=0),
    "greedy places": DSEE(rank=1, entries=384),
    "largest weights": DSEE(rank=1, entries=384, mask="largest"),
    "random places": DSEE(rank=1, entries=384, mask="random"),
}
PRUNED = {  # all from what "greedy places" learned
    "nothing pruned": DSEE(rank=1, entries=384),
    "a fifth pruned": DSEE(rank=1, entries=384, prune=0.2),
    "half pruned": DSEE(rank=1, entries=384, prune=0.5),
    "a third of the heads removed": DSEE(rank=1, entries=384, heads=1),
}
LEVEL = (
    "The 95 % Student's t interval of the difference in test accuracy ({a} minus {b}), paired by "
    "task and seed over {pairs} pairs, lies above -{margin}: shown; below it: not shown; else "
    "inconclusive. Both go on from the same model, with as many updates after pruning as before."
)
MARGIN = 0.02
PAPER = (
    Figure("inference FLOPs saved on BERT", 25.0, unit="%"),
    Figure("trained numbers on BERT", 0.5, unit="%"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One model of one arm: its accuracy, before the last training and after, and its cost."""

    before: float
    after: float
    held: int
    nonzero: int
    macs: int
    seconds: float
    model: Any


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Sparse entries against more rank, places against places, pruned models against whole ones.

    All arms start from one encoder, with the same labels, batches, updates and learning rate.
    """
    from sonograph.data import corpora

    began, plan = time.perf_counter(), SCALES[scale]
    encoder: Any = weights.load(plan.start)
    clips = corpora.open_sets(["core"], data_folder)
    tasks = contest.open_tasks(QUESTIONS, clips, encoder, plan)
    runs: dict[str, list[Run]] = {name: [] for name in (*CHANGES, *PRUNED)}
    for task in tasks:
        for seed in range(plan.seeds):
            place = folder / task.question.name / f"seed{seed}"
            tell = progress(f"{task.question.name}, seed {seed}")
            for name, run in _one(encoder, task, seed, plan, place, tell).items():
                runs[name].append(run)
    sample = tasks[0].examples.take(range(plan.batch))
    speed = _speed(
        runs["nothing pruned"][0].model, runs["a third of the heads removed"][0].model, sample
    )
    seconds = spent(folder, time.perf_counter() - began)
    found = [
        (
            "claim",
            "With a third of the heads removed the model stays on its level.",
            ("a third of the heads removed", "nothing pruned", MARGIN),
        ),
        (
            "claim-half",
            "With half of its frozen weights pruned the model stays on its level.",
            ("half pruned", "nothing pruned", MARGIN),
        ),
        (
            "claim-sparse",
            "Half of the rank and as many sparse entries do better than the whole rank.",
            ("greedy places", "low rank alone", 0.0),
        ),
        (
            "claim-places",
            "Entries where the decomposition puts them do better than entries at random.",
            ("greedy places", "random places", 0.0),
        ),
    ]
    return [
        (
            f"{file}-gpu" if scale == "gpu" else file,
            stamped(_record(runs, tasks, plan, words, pair, speed), seconds),
        )
        for file, words, pair in found
    ]


def _one(
    encoder: Any, task: Task, seed: int, plan: Plan, folder: Path, progress: Progress
) -> dict[str, Run]:
    """Every arm for one task and seed: all changes learned, then one of them pruned and taught."""
    train, test = (task.examples.take(rows) for rows in task.folds[seed])
    found: dict[str, Run] = {}
    sample = (test.features[:1], test.lengths[:1])
    for name, method in CHANGES.items():
        config = _config(method, plan, seed)
        place = folder / name
        done = finetune(
            copy.deepcopy(encoder), train, test, place, config, None, progress, plan.start
        )
        assert done.measured is not None
        accuracy = done.measured.accuracy
        found[name] = _run(done.model, accuracy, accuracy, done.seconds, sample)
    start = found["greedy places"].model
    for name, method in PRUNED.items():
        began, model = time.perf_counter(), copy.deepcopy(start)
        if method.stages() > 1:
            method.begin(model, 1)
        before = measure(model, test).accuracy
        config = _config(method, plan, seed)
        batches = Shuffled(train, config.batch, seed)
        place = folder / name
        Trainer(model, Teach(config), batches, place, config.train, None, progress, best=None).run()
        after = measure(model, test).accuracy
        found[name] = _run(model, before, after, time.perf_counter() - began, sample)
    return found


def _config(method: DSEE, plan: Plan, seed: int) -> Finetune:
    settings = {k: v for k, v in method.to_dict().items() if k not in ("prune", "heads")}
    return Finetune(method="dsee", settings=settings, batch=plan.batch).override(
        {
            "train.steps": plan.updates,
            "train.lr": DSEE.lr,
            "train.warmup_steps": plan.updates // 10,
            "train.log_every": max(1, plan.updates // 4),
            "train.seed": seed,
        }
    )


def _run(model: Any, before: float, after: float, seconds: float, sample: tuple[Any, ...]) -> Run:
    size = count_weights(model.encoder)
    return Run(
        before, after, size.total, size.nonzero, macs(model.encoder, *sample), seconds, model
    )


@torch.inference_mode()
def _speed(whole: Any, smaller: Any, sample: Any, rounds: int = 20) -> dict[str, list[float]]:
    """Seconds of a batch, the two models timed in turn."""
    seconds: dict[str, list[float]] = {"whole": [], "smaller": []}
    for k in range(rounds + 2):
        for name, model in (("whole", whole), ("smaller", smaller)):
            model.eval()
            began = time.perf_counter()
            model(sample.features, sample.lengths)
            if k >= 2:  # the first ones warm up
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _record(
    runs: dict[str, list[Run]],
    tasks: Sequence[Task],
    plan: Plan,
    sentence: str,
    pair: tuple[str, str, float],
    speed: dict[str, list[float]],
) -> Record:
    a, b, margin = pair
    ours, theirs = ([run.after for run in runs[name]] for name in (a, b))
    gain = paired_interval(ours, theirs)
    ratios = mean_interval([x / y for x, y in zip(speed["whole"], speed["smaller"])])
    means = {name: sum(run.after for run in of_arm) / len(of_arm) for name, of_arm in runs.items()}
    first = {name: of_arm[0] for name, of_arm in runs.items()}
    fewer, all_heads = first["a third of the heads removed"], first["nothing pruned"]
    return Record(
        system="dsee",
        kind="claim",
        sentence=sentence,
        rule=(LEVEL if margin else RULE).format(a=a, b=b, pairs=len(ours), margin=margin),
        verdict=verdict_of(gain, margin),
        measured=(
            Figure(f"{a} minus {b}", gain.mean, gain.low, gain.high, "accuracy"),
            *(Figure(name, mean, unit="accuracy") for name, mean in means.items()),
            Figure("multiply-adds saved by fewer heads", 1 - fewer.macs / all_heads.macs),
            Figure("numbers saved by fewer heads", 1 - fewer.held / all_heads.held),
            Figure("time of all heads to fewer", ratios.mean, ratios.low, ratios.high, "times"),
        ),
        paper=PAPER,
        arms=(a, b),
        data=tuple(f"{t.question.name}: {', '.join(t.question.corpora)}" for t in tasks),
        seeds=tuple(range(plan.seeds)),
        details={
            "scale": plan.to_dict(),
            "lr": DSEE.lr,
            "methods": {name: one.to_dict() for name, one in {**CHANGES, **PRUNED}.items()},
            "tasks": [
                {
                    "task": task.question.name,
                    "clips": len(task.examples),
                    "learned_from": [len(rows) for rows, _ in task.folds],
                    "classes": len(task.examples.classes),
                    "majority": task.majority,
                }
                for task in tasks
            ],
            "arms": {  # one entry a task and seed, tasks outermost
                name: {
                    "before_the_last_training": [run.before for run in of_arm],
                    "accuracies": [run.after for run in of_arm],
                    "numbers_of_the_encoder": first[name].held,
                    "not_zero": first[name].nonzero,
                    "multiply_adds_a_clip": first[name].macs,
                    "seconds": sum(run.seconds for run in of_arm) / len(of_arm),
                }
                for name, of_arm in runs.items()
            },
            "batch_seconds": speed,
        },
    )
