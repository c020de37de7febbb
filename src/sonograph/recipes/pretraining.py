"""Pre-training of any system: its objective on crops of unlabelled clips, into a run folder.

A system's recipe module says how (`Recipe`), this how it is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
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
from sonograph.train.trainer import TrainConfig, Trainer


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Pre-training of one preset."""

    batch: int = 32
    draw: Literal["clips", "seconds", "sources"] = "sources"
    crop_s: float = 0.0  # 0: as much as the encoder takes at once
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


class Objective:
    """A step's loss from a batch of waveforms; the front-end works here, masks in the model.

    options: more arguments of the model's forward, by name.
    """

    def __init__(self, model: Any, options: Mapping[str, Any] | None = None):
        self.frontend, self.options = Frontend(model.spec), dict(options or {})

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            features = self.frontend(batch["waveform"], batch["lengths"])
        return model(features.values, features.lengths, generator, **self.options)


def held_out(
    objective: Objective, clips: Clips, recipe: Recipe, crop_s: float, rate_hz: int
) -> Callable[[nn.Module], dict[str, float]]:
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
    model: Any,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe,
    options: Mapping[str, Any] | None = None,
    best: tuple[str, Literal["min", "max"]] = ("loss", "min"),
    progress: Progress = silent,
) -> Any:
    """Train an objective (a system's `Pretraining`) on clips, into a folder; again it goes on.

    A tenth of the recordings (by group) is held out to measure the loss. Returns the trainer's
    Summary. The folder then loads like any model.
    """
    spec, frames = model.spec, model.encoder.config.frames
    clips = clips.filter(lambda clip: clip.duration_s >= recipe.shortest_s)
    train, valid = divided(clips)
    crop_s = recipe.crop_s or spec.samples(frames) / spec.rate_hz
    batches = Batches(
        train,
        recipe.batch,
        crop_s,
        spec.rate_hz,
        seed=recipe.train.seed,
        workers=recipe.workers,
        draw=recipe.draw,
    )
    objective = Objective(model, options)
    measure = held_out(objective, valid, recipe, crop_s, spec.rate_hz)
    trainer = Trainer(model, objective, batches, folder, recipe.train, measure, progress, best=best)
    weights.outline(Path(folder), model.describe())
    summary = trainer.run()
    weights.describe(Path(folder), model.describe(), card_of(name, model, clips, recipe, summary))
    return summary


def card_of(name: str, model: Any, clips: Clips, recipe: Recipe, summary: Any) -> dict[str, Any]:
    """What a run folder says about itself."""
    from sonograph.registry import preset

    system = preset(name).system
    return {
        "name": name,
        "system": system,
        "summary": f"{system} encoder, pre-trained on {clips.seconds / 3600:.1f} h of sound",
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
