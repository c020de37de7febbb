"""One training of a model that speaks: what the recipes of all acoustic models share.

    speech = prepared(config, clips)
    done = learn(begin, speech, folder, recipe, losses)

A recipe says how its objective begins and what is measured of it on held-out clips; the rest is the
same for all of them. What is left in the folder beside the run is in `left.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.data.clips import Clips
from sonograph.progress import Progress, silent
from sonograph.recipes.speak.corpus import (
    Speech,
    SpeechBatches,
    encode_with,
    in_order,
    measured_folder,
)
from sonograph.train.trainer import Losses, Numbered, Summary, TrainConfig, Trainer

Step = Callable[[Any, Any, torch.Generator], Losses]
Measure = Callable[[nn.Module], dict[str, float]]
LAST = 2**31  # an update at which everything is learned that there ever is


class Reader(Protocol):
    """What a model's configuration says of the speech that it learns from."""

    @property
    def features(self) -> FeatureSpec: ...

    @property
    def alphabet(self) -> str: ...


class Recipe(Protocol):
    """What the recipes of all acoustic models have. frames: the most of one batch."""

    @property
    def batch(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def workers(self) -> int: ...

    @property
    def train(self) -> TrainConfig: ...


class Learned(NamedTuple):
    """What a training came to: its summary, held-out losses before and after, the objective."""

    summary: Summary
    before: dict[str, float]
    after: dict[str, float]
    objective: Any


def prepared(
    config: Reader, clips: Clips, progress: Progress = silent, folder: Path | None = None
) -> Speech:
    """The clips as a model reads them. folder: where what is measured is kept, for all by default.

    Raises InputError if none of them can be learned from.
    """
    encode, place = encode_with(config.alphabet), folder or measured_folder()
    return Speech.prepare(clips, config.features, encode, place, progress=progress)


def step_of(objective: Any, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
    """An update's losses: what the objective itself says."""
    return objective(batch, generator)


def learn(
    begin: Callable[[Speech], nn.Module],
    speech: Speech,
    folder: Path,
    recipe: Recipe,
    losses: Step = step_of,
    progress: Progress = silent,
    step: Step = step_of,
    stream: Callable[[SpeechBatches], Numbered] = lambda batches: batches,
) -> Learned:
    """Train on one part of a corpus, measure on another; started again it goes on.

    begin: the objective as it begins, given what is learned from; draws from the recipe's seed.
    losses: of held-out clips, see `measured_on`. stream: what is put around the batches.
    """
    learned, seed = speech.part("train"), recipe.train.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        objective = begin(learned)
    measure = measured_on(held_out_of(speech), recipe, losses)
    before = measure(objective)
    batches = SpeechBatches(learned, recipe.batch, recipe.frames, seed, recipe.workers)
    summary = run(objective, stream(batches), folder, recipe.train, progress, measure, step)
    return Learned(summary, before, measure(objective), objective)


def run(
    objective: nn.Module,
    batches: Numbered,
    folder: Path,
    config: TrainConfig,
    progress: Progress = silent,
    measure: Measure | None = None,
    step: Step = step_of,
) -> Summary:
    """The trainer on one stream of batches; what is kept is the last of it, and not the best.

    A voice is not chosen by its held-out losses: they say little of how it sounds.
    """
    return Trainer(objective, step, batches, folder, config, measure, progress, best=None).run()


def held_out_of(speech: Speech) -> Speech:
    """What is measured on: the clips for validation, or all that are learned from."""
    held_out = speech.part("valid")
    return held_out if len(held_out) else speech.part("train")


def measured_on(speech: Speech, recipe: Recipe, losses: Step = step_of) -> Measure:
    """Losses over clips, means over the clips, with the same noise every time.

    They are those of the last stage of training, so that numbers of all stages can be compared.
    Where `losses` gives no "loss", that is their sum.
    """
    kept = list(in_order(speech, recipe.batch, recipe.frames))

    @torch.no_grad()
    def measure(objective: nn.Module) -> dict[str, float]:
        objective.eval()
        updates = getattr(objective, "updates", None)
        now = None if updates is None else updates.clone()
        if updates is not None:
            updates.fill_(LAST)
        sums: dict[str, float] = {}
        for number, batch in enumerate(kept):
            found = losses(objective, batch, torch.Generator().manual_seed(number))
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch.lengths)
        if updates is not None:
            updates.copy_(now)
        means = {name: value / len(speech) for name, value in sums.items()}
        return {"loss": means["loss"] if "loss" in means else sum(means.values())} | means

    return measure
