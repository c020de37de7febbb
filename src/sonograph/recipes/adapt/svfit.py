"""SVFit beside LoRA: of sixteen times its size, and of its own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonograph import weights
from sonograph.data.clips import Clips
from sonograph.progress import Progress, silent
from sonograph.recipes.adapt import contest
from sonograph.recipes.adapt.contest import QUESTIONS, Arm, Plan
from sonograph.recipes.arms import spent
from sonograph.records import Figure, Record, stamped
from sonograph.systems.adapt.svfit import ranks
from sonograph.train.finetune import Finetune


def fit(folder: Path, clips: Clips, steps: int | None, progress: Progress = silent) -> Any:
    """A short training of singular values on real clips; see `contest.fit`."""
    config = Finetune(method="svfit").override({"train.lr": 2e-2})
    return contest.fit(config, folder, clips, steps, progress)


# --- the claim -----------------------------------------------------------------------------------

SCALES = {
    "cpu": Plan(updates=60, seeds=3),
    "gpu": Plan(updates=600, seeds=5, frames=256, batch=32, labels=50),
}
RATES = (3e-3, 1e-2, 3e-2)  # every arm chooses among these, on clips that it learns from
# on half of the layers, rank 1 trains as many numbers as SVFit does on all of them
HALF = "|".join(f"blocks.{k}.attention.{part}" for k in (2, 3) for part in ("query", "value"))
ARMS = (
    Arm("svfit", "svfit"),
    Arm("svfit, absolute", "svfit-absolute"),
    Arm("lora of rank 8", "lora"),
    Arm("lora of equal count", "lora", {"rank": 1, "alpha": 2.0, "where": HALF}),
    Arm("linear", "linear", updates=10),
)
RULE = (
    "The 95 % Student's t interval of the difference in test accuracy ({a} minus {b}), paired by "
    "task and seed over {pairs} pairs, lies above 0: shown; below 0: not shown; else inconclusive. "
    "Every arm starts from the same encoder, has the same labels, batches and updates, and chooses "
    "its learning rate among three on a third of the clips that it learns from."
)
PAPER = (Figure("trained numbers, LoRA of rank 8 to SVFit", 16.0, unit="times"),)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """SVFit against LoRA of rank 8, and against LoRA that trains as many numbers as it does."""
    from sonograph.data import corpora

    began, plan = time.perf_counter(), SCALES[scale]
    encoder: Any = weights.load(plan.start)
    clips = corpora.open_sets(["core"], data_folder)
    first = contest.open_tasks(QUESTIONS[:1], clips, encoder, plan)[0]
    arms, tried = [], {}
    for arm in ARMS:
        best, tried[arm.name] = contest.tuned(arm, RATES, first, encoder, plan, folder)
        arms.append(best)
    held = contest.hold(arms, plan, folder, data_folder, progress)
    more = {"rates_tried": tried, "ranks": ranks(encoder)}
    seconds = spent(folder, time.perf_counter() - began)
    pairs = [
        ("claim", "lora of rank 8", "SVFit does better than LoRA with 16 times fewer numbers."),
        ("claim-equal-count", "lora of equal count", "SVFit does better than LoRA of its size."),
        ("claim-linear", "linear", "SVFit does better than the head alone."),
    ]
    return [
        (
            f"{name}-gpu" if scale == "gpu" else name,
            stamped(_with(contest.record_of(held, arms, "svfit", b, words, RULE), more), seconds),
        )
        for name, b, words in pairs
    ]


def _with(record: Record, details: dict[str, Any]) -> Record:
    """The record with what only this claim tells."""
    return dataclasses.replace(
        record, system="svfit", paper=PAPER, details={**record.details, **details}
    )
