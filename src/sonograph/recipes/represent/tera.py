"""How TERA is pre-trained: data, alterations, schedule; and its claim.

The published presets carry the official recipe (1 M updates for 960 h, 200 k for 100 h); the small
ones a shorter one of ours on crops of a second.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.nn.alteration import FREQUENCY, MAGNITUDE, TIME, TIME_FREQUENCY, Alteration
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.recipes.arms import (
    PROMPT,
    TONE,
    Question,
    Task,
    difference,
    finished,
    once,
    open_task,
)
from sonograph.recipes.pretraining import data_of
from sonograph.records import Figure, Record
from sonograph.registry import build, preset
from sonograph.systems.represent import tera
from sonograph.train.probe import linear_probe
from sonograph.train.trainer import TrainConfig

Axes = Literal["all", "time", "frequency", "magnitude", "time+frequency"]
POLICIES: Mapping[Axes, Alteration] = {
    "all": Alteration(),
    "time": TIME,
    "frequency": FREQUENCY,
    "magnitude": MAGNITUDE,
    "time+frequency": TIME_FREQUENCY,
}


@dataclasses.dataclass(frozen=True)
class Recipe(pretraining.Recipe):
    """Pre-training of one preset, along which axes."""

    objective: Axes = "all"


HUNDRED_HOURS = ("tera-base-100h", "tera-base-fbank", "tera-slim")


def published(steps: int) -> Recipe:
    """Official: AdamW, four batches of eight to an update, a rise over 7 % and a line down to 0."""
    return Recipe(
        batch=8,
        draw="clips",
        shortest_s=2.01,  # utterances of 200 frames and fewer are dropped
        train=TrainConfig(
            steps=steps,
            accumulate=4,
            optimizer="adamw",
            lr=2e-4,
            betas=(0.9, 0.999),
            weight_decay=0.01,
            clip_norm=5.0,
            schedule="linear",
            warmup_steps=steps * 7 // 100,
            eval_every=5000,
            save_every=5000,
        ),
    )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    config = preset(name).make()
    if not isinstance(config, tera.Config):
        raise InputError(f"{name} is not pre-trained by TERA's objective")
    axes: Axes = next((a for a, p in POLICIES.items() if p == config.alteration), "all")
    if name in ("tera-test", "tera-mini"):
        recipe = Recipe(crop_s=1.0).override({"train.eval_every": 100})
    else:
        recipe = published(200_000 if name in HUNDRED_HOURS else 1_000_000)
    return dataclasses.replace(recipe, objective=axes)


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Pre-train a preset on clips, into a run folder; started again it goes on.

    A tenth of the recordings (by group) is held out to measure the loss. Returns the trainer's
    Summary. The folder then loads like any model.
    """
    recipe = recipe or recipe_of(name)
    torch.manual_seed(recipe.train.seed)
    model = tera.Pretraining(build(name, seed=recipe.train.seed))
    options = {"policy": POLICIES[recipe.objective]}
    return pretraining.pretrain(
        name, model, clips, folder, recipe, options, ("loss", "min"), progress
    )


# --- the claim -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    preset: str
    updates: int  # of every arm
    batch: int
    crop_s: float
    lr: float
    most: int  # clips of a task
    seeds: int = 3


SCALES = {
    "cpu": Scale("tera-mini", updates=200, batch=16, crop_s=1.0, lr=1e-3, most=300),
    "gpu": Scale("tera-base", updates=10_000, batch=32, crop_s=5.0, lr=2e-4, most=2000),
}
SPEECH = (*(f"asterisk-{n}" for n in ("en", "es", "fr", "it", "ru")), "gcin")
QUESTIONS = (
    Question("language", "language", SPEECH[:5], "Which of five languages is spoken?"),
    Question("voice", "voice", ("gcin",), "Which of two voices speaks?"),
    TONE,
    PROMPT,
)
PARTS = 4  # of equal length, of an utterance: each is averaged by itself
PAPER = (
    Figure("keywords, TERA", 89.48, unit="% accuracy"),
    Figure("speakers, TERA", 57.57, unit="% accuracy"),
    Figure("phones, TERA", 49.17, unit="% errors"),
    Figure("phones, log-mel", 82.01, unit="% errors"),
    Figure("speech recognition, TERA", 18.17, unit="% word errors"),
    Figure("speech recognition, log-mel", 23.18, unit="% word errors"),
)
RULE = (
    "The 95 % Student's t interval of the difference in test accuracy ({a} minus {b}), paired by "
    "task and seed over {pairs} pairs, lies above 0: shown; below 0: not shown; else inconclusive. "
    "Every pre-trained arm makes as many updates on the same crops; what it learned is frozen, and "
    "a logistic regression on the last layer answers (means over four equal parts of an utterance "
    "and the deviation over all of it, the penalty chosen within the training clips), for the "
    "surface features on the same moments of these; seed s learns on split s, whose recordings are "
    "on one side only."
)
COMPARED = (
    ("claim", "all", "log-mel", "Frozen TERA is better than the log-mel features that it hears."),
    ("claim-raw", "all", "raw", "Frozen TERA is better than log-mel that is not normalised."),
    ("claim-time", "all", "time", "Three axes are better than time alone."),
    ("claim-frequency", "all", "frequency", "Three axes are better than frequency alone."),
    ("claim-magnitude", "all", "magnitude", "Three axes are better than magnitude alone."),
)
ARMS: tuple[Axes, ...] = ("all", "time", "frequency", "magnitude")


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Three axes against each alone, and against surface features, by linear probes.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    clips = corpora.open_sets(list(SPEECH), data_folder)
    config = preset(plan.preset).make()
    assert isinstance(config, tera.Config)
    encoders: dict[tuple[str, int], Any] = {}
    for seed in range(plan.seeds):
        encoders["untrained", seed] = build(plan.preset, seed=seed).eval()
        for axes in ARMS:
            place = folder / f"pretrain-{axes}-{seed}"
            pretrain(
                plan.preset, clips, place, arm(plan, axes, seed), progress(f"{axes}, seed {seed}")
            )
            encoders[axes, seed] = weights.load_folder(place).encoder

    unnormalised = config.features.override(normalise="fixed", level="keep")
    by_task: dict[str, dict[str, Any]] = {}
    for question in QUESTIONS:
        question = dataclasses.replace(question, most=plan.most)
        task = open_task(question, clips, config.features, config.frames, plan.seeds)
        plain = open_task(question, clips, unnormalised, config.frames, plan.seeds)
        row: dict[str, Any] = {"clips": len(task.examples), "classes": len(task.examples.classes)}
        row["majority"] = task.majority
        for name in ("raw", "log-mel", "untrained", *ARMS):
            row[name] = []
        for seed in range(plan.seeds):
            row["raw"].append(probed(plain, seed, None))
            row["log-mel"].append(probed(task, seed, None))
            for name in ("untrained", *ARMS):
                row[name].append(probed(task, seed, encoders[name, seed]))
        by_task[question.name] = row

    details = {"scale": plan.to_dict(), "tasks": by_task}
    found = []
    for file, a, b, sentence in COMPARED:
        verdict, count, figures = difference(a, b, by_task)
        record = Record(
            system="tera",
            kind="claim",
            sentence=sentence,
            rule=RULE.format(a=a, b=b, pairs=count),
            verdict=verdict,
            measured=figures,
            paper=PAPER if b == "log-mel" else (),
            arms=(a, b),
            data=tuple(row["source"] for row in data_of(clips)),
            seeds=tuple(range(plan.seeds)),
            details=details,
        )
        found.append((file, record))
    return finished(found, scale, folder, began)


def arm(plan: Scale, axes: Axes, seed: int) -> Recipe:
    """The pre-training of one arm: only the axes differ."""
    recipe = Recipe(objective=axes, batch=plan.batch, crop_s=plan.crop_s, workers=0)
    recipe = recipe.override({"held_out_batches": 4, "train.lr": plan.lr})
    return once(recipe, plan.updates, seed)


def probed(task: Task, seed: int, encoder: Any) -> float:
    """Test accuracy of a linear probe on an encoder's last layer, or on the features themselves."""
    vectors = moments(task.examples.features, task.examples.lengths, encoder)
    train, test = (torch.tensor(rows) for rows in task.folds[seed % len(task.folds)])
    y = task.examples.targets
    penalties = (10.0, 1.0, 0.1, 0.01)
    classes = len(task.examples.classes)
    return linear_probe(
        vectors[train], y[train], vectors[test], y[test], penalties=penalties, classes=classes
    ).accuracy


@torch.inference_mode()
def moments(
    features: Float[Tensor, "n rows frames"], lengths: Int[Tensor, "n"], encoder: Any
) -> Float[Tensor, "n values"]:
    """Means of each of `PARTS` equal parts of an utterance, and the deviation over all of it."""
    vectors = []
    for start in range(0, len(features), 32):
        batch, counts = features[start : start + 32], lengths[start : start + 32]
        values = batch.transpose(1, 2) if encoder is None else encoder(batch, counts).values
        for row, count in zip(values, counts.tolist()):  # tasks have 0.1 s and more
            parts = [part.mean(0) for part in row[:count].tensor_split(PARTS)]
            vectors.append(torch.cat([*parts, row[:count].std(0)]))
    return torch.stack(vectors)
