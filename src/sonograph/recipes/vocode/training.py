"""Training of any vocoder on any speech: distances of spectra first, then against discriminators.

The first stage is not in the papers. It costs a third of a step of the second and brings a small
generator to speech that can be understood, so that the discriminators judge something; a plan
without it (`regression=None`) is HiFi-GAN's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonograph import weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches
from sonograph.nn.vocoder import Vocoder
from sonograph.progress import Progress, silent
from sonograph.recipes.pretraining import data_of, divided
from sonograph.systems.vocode.istftnet import Pretraining
from sonograph.train.trainer import Summary, TrainConfig, Trainer

# HiFi-GAN's: AdamW, betas (0.8, 0.99), decay on everything, 0.999 an epoch
ADVERSARIAL = TrainConfig(
    steps=2000,
    lr=2e-4,
    betas=(0.8, 0.99),
    weight_decay=0.01,
    decay_on="all",
    schedule="exponential",
    lr_decay=0.999,
    epoch_steps=800,
    eval_every=250,
    save_every=250,
    log_every=25,
)


SHORTEST_S = 0.3  # of a clip that is learned from


@dataclasses.dataclass(frozen=True)
class Plan(Config):
    """How a vocoder learns."""

    batch: int = 16
    crop_frames: int = 32
    held_out_batches: int = 4
    workers: int = 0
    regression_steps: int = 2000  # 0: none
    regression_lr: float = 1e-3
    adversarial: bool = True  # whether the second stage follows
    train: TrainConfig = ADVERSARIAL

    @property
    def regression(self) -> TrainConfig:
        """The first stage: the same but for the rate, falling to a tenth."""
        return self.train.override(
            steps=self.regression_steps, lr=self.regression_lr, schedule="cosine", lr_floor=0.1
        )


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a training came to: held-out distances before and after, and the last stage's run."""

    before: dict[str, float]
    after: dict[str, float]
    steps: int
    summary: Summary

    def told(self) -> dict[str, Any]:
        """For a record."""
        return {
            "loss_before": self.before["loss"],
            "loss_after": self.after["loss"],
            "steps": self.steps,
            "clips_per_s": self.summary.clips_per_s,
            "before": self.before,
            "after": self.after,
        }


def train_vocoder(
    vocoder: Vocoder, clips: Clips, folder: Path, plan: Plan, progress: Progress = silent
) -> Trained:
    """Train in place, into a folder that then loads as a model; started again it goes on.

    `folder/regression` and `folder/adversarial` are the runs of the two stages.
    """
    spec = vocoder.spec
    train, valid = divided(clips.filter(lambda clip: clip.duration_s >= SHORTEST_S))
    crop_s = plan.crop_frames * spec.hop_samples / spec.rate_hz
    seed = plan.train.seed
    with torch.random.fork_rng(devices=[]):  # the discriminators begin alike in every run
        torch.manual_seed(seed)
        model = Pretraining(vocoder)

    def batches(some: Clips, first: int) -> Batches:
        return Batches(some, plan.batch, crop_s, spec.rate_hz, first, plan.workers, draw="seconds")

    kept = [batches(valid, 1).batch(k)["waveform"] for k in range(plan.held_out_batches)]

    def measure(learner: nn.Module) -> dict[str, float]:
        found = [model.regression(waveform) for waveform in kept]
        return {name: sum(float(f[name]) for f in found) / len(found) for name in found[0]}

    with torch.no_grad():
        before = measure(model)
    runs: list[Summary] = []
    if plan.regression_steps:
        first = Trainer(
            vocoder,
            lambda _, batch, generator: model.regression(batch["waveform"], generator),
            batches(train, seed),
            folder / "regression",
            plan.regression,
            measure,
            progress,
            best=None,
        )
        runs.append(first.run())
    if plan.adversarial or not plan.regression_steps:
        second = Trainer(
            model,
            lambda _, batch, generator: model.turns(batch["waveform"], generator),
            batches(train, seed + 1),
            folder / "adversarial",
            plan.train,
            measure,
            progress,
            best=None,
            turns=Pretraining.TURNS,
        )
        runs.append(second.run())
    model.eval()
    with torch.no_grad():
        after = measure(model)
    name = getattr(vocoder, "name", folder.name)
    weights.save_folder(folder, vocoder, card_of(name, clips, plan, after))
    last = dataclasses.replace(runs[-1], folder=folder, best=after)
    return Trained(before, after, sum(run.steps for run in runs), last)


def card_of(name: str, clips: Clips, plan: Plan, held_out: Mapping[str, float]) -> dict[str, Any]:
    """What a vocoder's folder says about itself."""
    return {
        "name": name,
        "summary": f"vocoder, trained on {clips.seconds / 60:.0f} min of sound",
        "data": data_of(clips),
        "held_out": dict(held_out),
        "recipe": plan.to_dict(),
        "licence": "Apache-2.0 for the weights; the licences of the data are listed with it",
    }
