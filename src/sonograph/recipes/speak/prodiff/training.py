"""How ProDiff is trained: a teacher, and then its student.

Durations come from an aligner that learns along with the teacher (nn/aligner.py); the student asks
the teacher's.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonograph import weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.nn.acoustic import SpeechBatch
from sonograph.progress import Progress, silent
from sonograph.recipes.speak.acoustic import (
    Learned,
    held_out_of,
    learn,
    measured_on,
    prepared,
    run,
)
from sonograph.recipes.speak.corpus import Speech, SpeechBatches
from sonograph.recipes.speak.left import before_and_after, card_of, leave, write_list
from sonograph.registry import preset
from sonograph.systems.speak import prodiff
from sonograph.train.trainer import Summary, TrainConfig

# The official code's: AdamW, a warm-up of 2000 updates to 256^-0.5 2000^-0.5, then Noam's decay
PUBLISHED = TrainConfig(
    steps=200_000,
    lr=256**-0.5 * 2000**-0.5,
    betas=(0.9, 0.98),
    weight_decay=0.0,
    clip_norm=1.0,
    schedule="rsqrt",
    warmup_steps=2000,
    eval_every=2000,
    save_every=1000,
    log_every=100,
)
SHORT = PUBLISHED.override(
    steps=4000, lr=1.4e-3, schedule="cosine", lr_floor=0.1, warmup_steps=100, eval_every=250,
    save_every=100, log_every=25,
)  # fmt: skip
NEXT = "`sonograph speak TEXT -o OUT.wav --model {0}`"  # what to try when it is trained


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Training of one preset. student_updates: of distillation after it; 0: there is no student.

    student_rate: of distillation, a share of the teacher's learning rate.
    """

    batch: int = 16
    frames: int = 5000  # the most of one batch, padding counted
    workers: int = 0
    student_updates: int = 1500
    student_rate: float = 0.25
    train: TrainConfig = SHORT

    def __post_init__(self) -> None:
        if self.student_updates < 0:
            raise InputError(f"student_updates is {self.student_updates}: it is at least 0")

    @property
    def distillation(self) -> TrainConfig:
        """The student's training: with the same seed and curve."""
        steps = max(1, self.student_updates)
        warmup = min(self.train.warmup_steps, steps // 4)
        return self.train.override(
            steps=steps, lr=self.train.lr * self.student_rate, warmup_steps=warmup
        )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset: the published schedule, or ours of small ones."""
    if name in ("prodiff", "prodiff-teacher"):
        return Recipe(48, 32_000, 0, 200_000 if name == "prodiff" else 0, 1.0, PUBLISHED)
    if name == "prodiff-mini":
        return Recipe()
    train = SHORT.override(steps=24, warmup_steps=2, eval_every=12, save_every=4, log_every=1)
    return Recipe(batch=8, frames=1500, student_updates=4, train=train)


def configured(name: str, speech: Speech) -> prodiff.Config:
    """A preset, as a teacher, with the corpus' own statistics of pitch, features and energy.

    Official features go into the diffusion as they are, and energies into the official table.
    """
    config = preset(name).make()
    assert isinstance(config, prodiff.Config)
    pitch_mean, pitch_deviation = speech.statistics()["pitch_hz"]
    config = config.override(
        {"stride": 1, "pitch_mean": pitch_mean, "pitch_deviation": pitch_deviation}
    )
    if config.deviation == 1.0:
        return config
    sums, squares, count, most = 0.0, 0.0, 0, 0.0
    for item in speech.items:
        values = item.read()[0].astype(np.float64)
        sums, squares, count = (
            sums + values.sum(),
            squares + np.square(values).sum(),
            count + values.size,
        )
        most = max(most, float(np.sqrt(np.exp(2 * values).sum(0)).max()))
    mean = sums / count
    deviation = math.sqrt(max(squares / count - mean**2, 1e-4))
    return config.override(
        {"mean": float(mean), "deviation": deviation, "energy_most": max(most, 1e-3)}
    )


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Summary:
    """The same as `train`, for the verb: the trainer's Summary, with the held-out losses."""
    done = train(name, clips, Path(folder), recipe or recipe_of(name), progress)
    return dataclasses.replace(done.summary, best=done.after)


def train(
    name: str, clips: Clips, folder: Path, recipe: Recipe, progress: Progress = silent
) -> Learned:
    """Train a preset on clips with text, into a folder; started again it goes on.

    `folder` holds the teacher's run (with its aligner), `folder/student` that of its student,
    `folder/voice` the model to use: the student if there is one, else the teacher, which is in
    `folder/teacher`. `folder/dropped.json` lists the clips that were left out and why. Returns what
    the teacher learned.
    """
    made = preset(name).make()
    assert isinstance(made, prodiff.Config)
    speech = prepared(made, clips, progress)

    def begin(part: Speech) -> prodiff.Pretraining:
        config = configured(name, part).override({"alignment.source": "learned"})
        return prodiff.Pretraining(prodiff.build(config))

    done = learn(begin, speech, folder, recipe, all_parts, progress)
    write_list(folder / "dropped.json", speech.dropped)
    card = card_of(name, clips, speech, recipe, done)
    leave(folder, done.objective, card, "teacher")
    voice = done.objective.acoustic
    if recipe.student_updates:
        student = prodiff.Distillation(prodiff.student_of(voice), done.objective)
        plan, part = recipe.distillation, speech.part("train")
        batches = SpeechBatches(part, recipe.batch, recipe.frames, plan.seed, recipe.workers)
        measure = measured_on(held_out_of(speech), recipe, all_parts)
        taught = run(student, batches, folder / "student", plan, progress, measure)
        voice = student.acoustic
        card |= {"student_steps": taught.steps, "held_out_student": measure(student)}
        weights.describe(folder / "student", student.describe(), card)
    weights.save_folder(folder / "voice", voice, card)
    return done


def all_parts(
    objective: prodiff.Pretraining, batch: SpeechBatch, generator: torch.Generator
) -> dict[str, Tensor]:
    """The parts of the loss, one by one."""
    return objective.parts(batch, generator)


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short real training of the smallest preset and its student; started again it goes on."""
    recipe = recipe_of("prodiff-test")
    if steps is not None:
        recipe = recipe.override({"train.steps": steps})
    done = train("prodiff-test", clips, folder, recipe, progress)
    return before_and_after(done.before, done.after, done.summary)
