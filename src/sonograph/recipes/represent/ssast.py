"""How SSAST is pre-trained: data, objective, schedule.

The published presets carry the paper's recipe (official code, section 3.1 of the paper); the small
ones a shorter one of ours: AdamW with a cosine, since the plateau rule needs days to act.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.losses.masked_patches import ObjectiveName
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.recipes.arms import CORE_QUESTIONS, Way, compare, difference, finished, lesson, once
from sonograph.recipes.pretraining import data_of
from sonograph.records import Figure, Record
from sonograph.registry import build, preset
from sonograph.systems.represent import ssast
from sonograph.train.trainer import TrainConfig


@dataclasses.dataclass(frozen=True)
class Recipe(pretraining.Recipe):
    """Pre-training of one preset, by both halves of the objective or one of them."""

    objective: ObjectiveName = "joint"


def published(lr: float, batch: int, eval_every: int) -> Recipe:
    """Adam, ten epochs of AudioSet and LibriSpeech, halved when the accuracy stands still."""
    return Recipe(
        batch=batch,
        draw="clips",
        train=TrainConfig(
            steps=900_000 * 24 // batch,
            optimizer="adam",
            lr=lr,
            betas=(0.95, 0.999),
            weight_decay=5e-7,
            decay_on="all",
            schedule="plateau",
            patience=2,
            lr_decay=0.5,
            warmup_steps=1000,
            eval_every=eval_every,
            save_every=eval_every,
        ),
    )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    if name in ("ssast-test", "ssast-demo"):
        return Recipe(batch=32).override({"train.eval_every": 100})
    if name == "ssast-mini":
        return Recipe().override({"train.steps": 2400, "train.precision": "bf16"})
    tiny = "tiny" in name
    return published(
        lr=5e-4 if tiny else 1e-4, batch=120 if tiny else 24, eval_every=800 if tiny else 4000
    )


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
    if not isinstance(preset(name).make(), ssast.Config):
        raise InputError(f"{name} is not pre-trained by SSAST's objective")
    torch.manual_seed(recipe.train.seed)
    model = ssast.Pretraining(build(name, seed=recipe.train.seed))
    plateau = recipe.train.schedule == "plateau" and recipe.objective != "generative"
    return pretraining.pretrain(
        name,
        model,
        clips,
        folder,
        recipe,
        {"objective": recipe.objective},
        ("accuracy", "max") if plateau else ("loss", "min"),
        progress,
    )


# --- the claim -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    preset: str
    pretrain_updates: int  # of the joint objective; a single one gets twice as many
    adapt_updates: int
    batch: int = 32
    adapt_batch: int = 16
    lr: float = 1e-3
    seeds: int = 3

    @property
    def extra_updates(self) -> int:
        """What a scratch arm gets for pre-training: as many clips through the network."""
        return round(2 * self.pretrain_updates * self.batch / self.adapt_batch)


SCALES = {
    "cpu": Scale("ssast-demo", pretrain_updates=150, adapt_updates=100),
    "gpu": Scale("ssast-tiny", pretrain_updates=4000, adapt_updates=600, batch=120),
}
PAPER = (
    Figure("ESC-50, pre-trained", 88.8, unit="% accuracy"),
    Figure("ESC-50, from scratch", 41.9, unit="% accuracy"),
    Figure("Speech Commands V2, pre-trained", 98.0, unit="% accuracy"),
    Figure("Speech Commands V2, from scratch", 92.6, unit="% accuracy"),
    Figure("AudioSet-20K, pre-trained", 31.0, unit="mAP"),
    Figure("AudioSet-20K, from scratch", 14.8, unit="mAP"),
    Figure("average gain over seven tasks", 60.9, unit="% relative"),
)
RULE = (
    "The 95 % Student's t interval of the difference in test accuracy ({a} minus {b}), paired by "
    "task and seed over {pairs} pairs, lies above 0: shown; below 0: not shown; else inconclusive. "
    "Every arm puts as many clips through the network; seed s learns on split s, whose recordings "
    "are on one side only."
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Pre-trained against scratch, and the joint objective against each alone, at equal compute.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    clips = corpora.open_sets(["core"], data_folder)
    config = preset(plan.preset).make()
    assert isinstance(config, ssast.Config)
    seeds = range(plan.seeds)

    encoders: dict[tuple[str, int], ssast.SSAST] = {}
    for name in OBJECTIVES:
        for seed in seeds:
            updates = plan.pretrain_updates * (1 if name == "joint" else 2)
            place = folder / f"pretrain-{name}-{seed}"
            recipe = once(Recipe(objective=name, batch=plan.batch), updates, seed)
            tell = progress(f"{name}, seed {seed}")
            pretrain(plan.preset, clips, place, recipe, tell)
            encoders[name, seed] = weights.load_folder(place).encoder  # type: ignore[assignment]

    taught = lesson(plan.adapt_batch, plan.adapt_updates, plan.lr)

    def pretrained(name: str) -> Callable[[int], Any]:
        return lambda seed: encoders[name, seed]

    def scratch(seed: int) -> Any:
        return build(plan.preset, seed=seed)

    ways = [Way("scratch", "scratch", scratch, taught, plan.extra_updates)]
    ways += [Way(name, name, pretrained(name), taught) for name in OBJECTIVES]
    by_task = compare(
        CORE_QUESTIONS, clips, config.features, config.frames, ways, seeds, folder, progress
    )
    details: dict[str, Any] = {"scale": plan.to_dict(), "tasks": by_task}
    pairs = [
        ("claim", "joint", "scratch", "Self-supervised pre-training beats training from scratch."),
        ("claim-joint-discriminative", "joint", "discriminative", BETTER.format("discriminative")),
        ("claim-joint-generative", "joint", "generative", BETTER.format("generative")),
    ]
    found = []
    for file, a, b, sentence in pairs:
        verdict, count, figures = difference(a, b, by_task)
        record = Record(
            system="ssast",
            kind="claim",
            sentence=sentence,
            rule=RULE.format(a=a, b=b, pairs=count),
            verdict=verdict,
            measured=figures,
            paper=PAPER if b == "scratch" else (),
            arms=(a, b),
            data=tuple(row["source"] for row in data_of(clips)),
            seeds=tuple(seeds),
            details=details,
        )
        found.append((file, record))
    return finished(found, scale, folder, began)


OBJECTIVES: tuple[ObjectiveName, ...] = ("joint", "discriminative", "generative")
BETTER = "The joint objective is better than the {} one alone (section 3.3 of the paper)."
