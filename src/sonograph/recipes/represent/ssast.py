"""How SSAST is pre-trained: data, objective, schedule.

The published presets carry the paper's recipe (official code, section 3.1 of the paper); the small
ones a shorter one of ours: AdamW with a cosine, since the plateau rule needs days to act.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sonograph import weights
from sonograph.audio.feature_spec import Frontend
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches
from sonograph.errors import InputError
from sonograph.metrics.intervals import paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import Question, Way, learn, open_task
from sonograph.records import Figure, Record, stamped
from sonograph.registry import build, preset
from sonograph.systems.represent import ssast
from sonograph.train.finetune import Finetune
from sonograph.train.trainer import TrainConfig, Trainer


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Pre-training of one preset."""

    objective: ssast.ObjectiveName = "joint"
    batch: int = 32
    draw: Literal["clips", "seconds", "sources"] = "sources"
    shortest_s: float = 0.1  # shorter clips are left out: less than one patch of ten frames
    held_out_batches: int = 8  # of the validation split, with fixed crops and masks
    workers: int = 1
    train: TrainConfig = TrainConfig(
        steps=2000,
        optimizer="adamw",
        lr=1e-3,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        clip_norm=1.0,
        warmup_steps=200,
        eval_every=200,
        save_every=100,
        log_every=20,
    )


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


class Objective:
    """A step's loss from a batch of waveforms; front-end and masks are made here."""

    def __init__(self, model: ssast.Pretraining, name: ssast.ObjectiveName):
        self.frontend, self.name = Frontend(model.spec), name

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            features = self.frontend(batch["waveform"], batch["lengths"])
        return model(features.values, features.lengths, generator, self.name)


def held_out(
    objective: Objective, clips: Clips, recipe: Recipe, crop_s: float, rate_hz: int
) -> Any:
    """The loss on the same crops with the same masks, whenever it is asked."""
    batches = Batches(clips, recipe.batch, crop_s, rate_hz, seed=1, draw=recipe.draw)
    kept = [batches.batch(k) for k in range(recipe.held_out_batches)]

    def evaluate(model: nn.Module) -> dict[str, float]:
        sums: dict[str, float] = {}
        for k, batch in enumerate(kept):
            parts = objective(model, batch, torch.Generator().manual_seed(k))
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value) / len(kept)
        return sums

    return evaluate


def divided(clips: Clips) -> tuple[Clips, Clips]:
    """(train, valid); where no clip fell into the validation split, some of the training clips.

    The test split is left alone, so that a task may be measured on it later.
    """
    train, valid = clips.split("train"), clips.split("valid")
    for seed in range(1, 20):
        if len(train) and len(valid):
            return train, valid
        inner = Clips([dataclasses.replace(clip, split=None) for clip in clips.split("train")])
        train, valid = inner.split("train", seed=seed), inner.split("valid", seed=seed)
    raise InputError(f"{len(clips)} clips are too few to train on some and hold out others")


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
    config = preset(name).make()
    if not isinstance(config, ssast.Config):
        raise InputError(f"{name} is not pre-trained by SSAST's objective")
    spec = config.features
    clips = clips.filter(lambda clip: clip.duration_s >= recipe.shortest_s)
    train, valid = divided(clips)
    torch.manual_seed(recipe.train.seed)
    model = ssast.Pretraining(build(name, seed=recipe.train.seed))
    crop_s = spec.samples(config.frames) / spec.rate_hz
    batches = Batches(
        train,
        recipe.batch,
        crop_s,
        spec.rate_hz,
        seed=recipe.train.seed,
        workers=recipe.workers,
        draw=recipe.draw,
    )
    objective = Objective(model, recipe.objective)
    plateau = recipe.train.schedule == "plateau"
    trainer = Trainer(
        model,
        objective,
        batches,
        folder,
        recipe.train,
        held_out(objective, valid, recipe, crop_s, spec.rate_hz),
        progress,
        best=("accuracy", "max")
        if plateau and recipe.objective != "generative"
        else ("loss", "min"),
    )
    summary = trainer.run()
    weights.describe(Path(folder), model.describe(), card_of(name, clips, recipe, summary))
    return summary


def card_of(name: str, clips: Clips, recipe: Recipe, summary: Any) -> dict[str, Any]:
    """What a run folder says about itself."""
    return {
        "name": name,
        "system": "ssast",
        "summary": f"SSAST encoder, pre-trained on {clips.seconds / 3600:.1f} h of sound",
        "objective": recipe.objective,
        "data": data_of(clips),
        "steps": summary.steps,
        "clips_seen": summary.steps * recipe.batch * recipe.train.accumulate,
        "seconds": round(summary.seconds, 1),
        "held_out": summary.best,
        "recipe": recipe.to_dict(),
        "licence": "Apache-2.0 for the weights; the licences of the data are listed with it",
    }


def data_of(clips: Clips) -> list[dict[str, Any]]:
    """Each source with its length and licence."""
    rows: dict[str, dict[str, Any]] = {}
    for clip in clips:
        row = rows.setdefault(
            clip.source, {"source": clip.source, "licence": clip.licence, "minutes": 0.0}
        )
        row["minutes"] += clip.duration_s / 60
    return [{**row, "minutes": round(row["minutes"], 1)} for row in rows.values()]


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
QUESTIONS = (
    Question("effect", "effect", ("ufoai",), "Which kind of sound effect is it?", fewest=12),
    Question("instrument", "instrument", ("timgm6mb",), "Which family of instruments plays?"),
    Question("tone", "tone", ("gcin",), "Which of five Mandarin tones is spoken?"),
)
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
            recipe = Recipe(objective=name, batch=plan.batch).override(
                {
                    "train.steps": updates,
                    "train.seed": seed,
                    "train.warmup_steps": updates // 10,
                    "train.eval_every": updates,
                    "train.save_every": 0,
                }
            )
            tell = progress(f"{name}, seed {seed}")
            pretrain(plan.preset, clips, place, recipe, tell)
            encoders[name, seed] = weights.load_folder(place).encoder  # type: ignore[assignment]

    def taught(seed_start: Callable[[int], Any], name: str, extra: int) -> Way:
        return Way(
            name,
            name,
            seed_start,
            Finetune().override(
                {
                    "batch": plan.adapt_batch,
                    "train.steps": plan.adapt_updates,
                    "train.lr": plan.lr,
                    "train.warmup_steps": plan.adapt_updates // 10,
                }
            ),
            extra,
        )

    def pretrained(name: str) -> Callable[[int], Any]:
        return lambda seed: encoders[name, seed]

    ways = [taught(lambda seed: build(plan.preset, seed=seed), "scratch", plan.extra_updates)]
    ways += [taught(pretrained(name), name, 0) for name in OBJECTIVES]
    accuracies: dict[str, list[float]] = {way.name: [] for way in ways}
    by_task: dict[str, dict[str, list[float]]] = {}
    details: dict[str, Any] = {"scale": plan.to_dict(), "tasks": by_task}
    for question in QUESTIONS:
        task = open_task(question, clips, config.features, config.frames, plan.seeds)
        row: dict[str, Any] = {"clips": len(task.examples), "classes": len(task.examples.classes)}
        row["majority"] = task.majority
        for way in ways:
            place = folder / question.name / way.name
            outcome = learn(task, way, seeds, place, progress(f"{question.name}: {way.name}"))
            accuracies[way.name] += outcome.accuracies
            row[way.name] = list(outcome.accuracies)
        by_task[question.name] = row

    seconds = _spent(folder / "seconds.json", time.perf_counter() - began)
    pairs = [
        ("claim", "joint", "scratch", "Self-supervised pre-training beats training from scratch."),
        ("claim-joint-discriminative", "joint", "discriminative", BETTER.format("discriminative")),
        ("claim-joint-generative", "joint", "generative", BETTER.format("generative")),
    ]
    found = []
    for file, a, b, sentence in pairs:
        gain = paired_interval(accuracies[a], accuracies[b])
        means = [
            Figure(f"{task}, {arm}", float(np.mean(row[arm])), unit="accuracy")
            for task, row in by_task.items()
            for arm in (a, b)
        ]
        record = Record(
            system="ssast",
            kind="claim",
            sentence=sentence,
            rule=RULE.format(a=a, b=b, pairs=len(accuracies[a])),
            verdict="shown" if gain.low > 0 else "not shown" if gain.high < 0 else "inconclusive",
            measured=(Figure(f"{a} minus {b}", gain.mean, gain.low, gain.high, "accuracy"), *means),
            paper=PAPER if b == "scratch" else (),
            arms=(a, b),
            data=tuple(row["source"] for row in data_of(clips)),
            seeds=tuple(seeds),
            details=details,
        )
        found.append((f"{file}-gpu" if scale == "gpu" else file, stamped(record, seconds)))
    return found


def _spent(path: Path, seconds: float) -> float:
    """Seconds of this run and of those before it on the same folder."""
    before = weights.read_json(path)["seconds"] if path.is_file() else 0.0
    weights.write_json(path, {"seconds": before + seconds})
    return before + seconds


OBJECTIVES: tuple[ssast.ObjectiveName, ...] = ("joint", "discriminative", "generative")
BETTER = "The joint objective is better than the {} one alone (section 3.3 of the paper)."
