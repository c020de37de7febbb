"""How SSAST is pre-trained: data, objective, schedule.

The published presets carry the paper's recipe (official code, section 3.1 of the paper); the small
ones a shorter one of ours: AdamW with a cosine, since the plateau rule needs days to act.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sonograph import weights
from sonograph.audio.feature_spec import Frontend
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches
from sonograph.errors import InputError
from sonograph.progress import Progress, silent
from sonograph.registry import build, preset
from sonograph.systems.represent import ssast
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
