"""The methods of PETL_AST at an equal budget of trained numbers, in one run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonograph.data.clips import Clips
from sonograph.progress import Progress, silent
from sonograph.recipes.adapt import contest
from sonograph.recipes.adapt.contest import RULE, Arm, Plan
from sonograph.recipes.arms import spent
from sonograph.records import Figure, Record, stamped
from sonograph.train.finetune import Finetune


def fit(folder: Path, clips: Clips, steps: int | None, progress: Progress = silent) -> Any:
    """A short training of conformer adapters on real clips; see `contest.fit`."""
    config = Finetune(method="conformer").override({"train.lr": 5e-3})
    return contest.fit(config, folder, clips, steps, progress)


# --- the claim -----------------------------------------------------------------------------------

SCALES = {
    "cpu": Plan(updates=50, labels=15),
    "gpu": Plan(start="ast-base", updates=1000, seeds=5, frames=512, batch=32, labels=64),
}
BUDGET = "0.3%"  # of the encoder's numbers, the head apart
ARMS = (
    Arm("linear", "linear", updates=10),
    Arm("bitfit", "bitfit"),
    Arm("shallow prompts", "prompt-shallow", budget=BUDGET),
    Arm("deep prompts", "prompt-deep", budget=BUDGET),
    Arm("prefix", "prefix", budget=BUDGET),
    Arm("lora", "lora", budget=BUDGET),
    Arm("adapter", "adapter", budget=BUDGET),
    Arm("conformer", "conformer", budget=BUDGET),
    Arm("full", "full"),
    Arm("linear, no positions", "zero-positions+linear", updates=10),
    Arm("adapter, no positions", "zero-positions+adapter", budget=BUDGET),
    Arm("conformer, no positions", "zero-positions+conformer", budget=BUDGET),
)
LEVEL = (
    "The 95 % Student's t interval of the difference in test accuracy ({a} minus {b}), paired by "
    "task and seed over {pairs} pairs, lies above -{margin}: shown; below it: not shown; else "
    "inconclusive. Same encoder, labels, batches and updates in both arms."
)
PAPER = (
    Figure("ESC-50, adapter", 88.38, unit="% accuracy"),
    Figure("ESC-50, LoRA", 86.45, unit="% accuracy"),
    Figure("ESC-50, deep prompts", 86.52, unit="% accuracy"),
    Figure("ESC-50, prefix", 82.93, unit="% accuracy"),
    Figure("ESC-50, everything", 87.48, unit="% accuracy"),
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Adapters against the other methods at one budget, and the conformer one against all of it.

    Learning rates are the methods' own, as in the paper: one for each kind.
    """
    began, plan = time.perf_counter(), SCALES[scale]
    held = contest.hold(ARMS, plan, folder, data_folder, progress)
    seconds = spent(folder, time.perf_counter() - began)
    found = [
        (f"claim-{other.replace(' ', '-')}", contest.record_of(
            held, ARMS, "adapter", other,
            f"At 0.3 % of the numbers a bottleneck adapter does better than {words}.", RULE,
        ))
        for other, words in (
            ("lora", "LoRA"), ("deep prompts", "deep prompts"), ("prefix", "prefixes"),
            ("linear", "the head alone"),
        )
    ]  # fmt: skip
    level = "With 0.3 % of the numbers the conformer adapter reaches the level of fine-tuning all."
    found.append(
        ("claim", contest.record_of(held, ARMS, "conformer", "full", level, LEVEL, margin=0.02))
    )
    order = "The conformer adapter's gain over the bottleneck is larger where positions are lost."
    found.append(("claim-positions", _positions(held, order)))
    return [
        (
            f"{name}-gpu" if scale == "gpu" else name,
            stamped(dataclasses.replace(record, system="ast_adapters", paper=PAPER), seconds),
        )
        for name, record in found
    ]


def _positions(held: contest.Contest, sentence: str) -> Record:
    """Whether positions explain part of the conformer's gain: a difference of differences."""
    from sonograph.metrics.intervals import paired_interval
    from sonograph.recipes.arms import verdict_of

    base = contest.record_of(held, ARMS, "conformer", "adapter", sentence, RULE)

    def gains(more: str) -> list[float]:
        pairs = zip(held.accuracies(f"conformer{more}"), held.accuracies(f"adapter{more}"))
        return [a - b for a, b in pairs]

    change = paired_interval(gains(", no positions"), gains(""))
    figure = Figure("gain without positions minus gain", change.mean, change.low, change.high)
    return dataclasses.replace(
        base,
        rule="The 95 % Student's t interval of the gain (conformer minus adapter) without position "
        "embeddings minus the gain with them, paired by task and seed, lies above 0: shown; below "
        "0: not shown; else inconclusive.",
        verdict=verdict_of(change),
        measured=(figure, *base.measured[1:]),
    )
