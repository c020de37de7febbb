"""How SpecTTTra is trained: data, alterations, schedule.

The songs of SONICS cannot be had freely, so without labels of your own the task is another:
recordings against the same recordings sent through Griffin-Lim and codecs
(`sonograph.data.resynthesis`). These are not songs of Suno or Udio, and a detector of them knows
nothing of those. Clips with a label real or synthetic are learned with `task` set to its name.

The published presets carry the paper's recipe; the small ones a shorter one of ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph import weights
from sonograph.audio.augment import mixed_neighbours, mixing_shares, striped
from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches, make_batch
from sonograph.data.resynthesis import REAL, SYNTHETIC, TASK, resynthesised
from sonograph.data.sampler import Draw
from sonograph.errors import InputError
from sonograph.metrics.tagging import Confusion
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.recipes.pretraining import card_of, divided
from sonograph.registry import preset
from sonograph.systems.tag import spectttra
from sonograph.train.trainer import TrainConfig, Trainer

CLASSES = (REAL, SYNTHETIC)
CROP_AT = 0.75  # where in a longer clip its one crop for evaluation begins; the official code's


@dataclasses.dataclass(frozen=True)
class Recipe(pretraining.Recipe):
    """Supervised training of one preset. `batch` counts clips, real and synthetic together."""

    draw: Literal["clips", "seconds", "sources"] = "clips"
    task: str = ""  # of the clips' labels, real or synthetic; none: recordings are made again
    makers: tuple[str, ...] = ("griffin_lim", "opus", "mp3", "vorbis")  # by which; g722 too
    pairs: int = 800  # excerpts to learn from, each as it is and made again; a quarter held out
    per_clip: int = 16  # excerpts of one clip
    shortest_s: float = 1.0
    smoothing: float = 0.02
    mixup: float = 2.5  # alpha; one share a batch
    mixup_chance: float = 0.5  # of a batch
    stripe: int = 8  # two stripes in time and one in frequency are narrower than this
    stripe_chance: float = 0.5  # of a batch


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    if name.endswith(("-test", "-mini")):
        train = TrainConfig(
            steps=600,
            lr=1e-3,
            weight_decay=0.05,
            clip_norm=5.0,
            warmup_steps=60,
            eval_every=50,
            save_every=100,
            log_every=20,
        )
        return Recipe(train=train)
    return published(name)


# of those that do not learn at 8e-4
RATES = {"alpha-120s": 5e-4, "gamma-120s": 5e-4, "convnext-120s": 5e-4}
RATES |= {"efficientvit-5s": 2e-4, "efficientvit-120s": 4e-4}
BATCHES = {"alpha-120s": 96, "vit-120s": 72, "convnext-120s": 40, "efficientvit-120s": 32}


def published(name: str) -> Recipe:
    """Section 5 of the paper and the official configurations, 50 epochs of which 5 are warm-up.

    An epoch is taken as 70 % of the 97,000 songs. Every batch has stripes: the 0.5 of the
    configurations is not their chance but the share of a clip that one may hide at most.
    """
    long, size = name.endswith("120s"), name.removeprefix("spectttra-")
    batch = BATCHES.get(size, 128 if long else 256)
    epoch = round(0.7 * 97_000 / batch)
    return Recipe(
        batch=batch,
        pairs=20_000,
        shortest_s=30.0 if long else 5.0,
        workers=8,
        stripe_chance=1.0,
        train=TrainConfig(
            steps=50 * epoch,
            lr=RATES.get(size, 8e-4),
            weight_decay=0.05,
            clip_norm=5.0,
            warmup_steps=5 * epoch,
            precision="bf16",
            eval_every=epoch,
            save_every=epoch,
        ),
    )


# --- training ------------------------------------------------------------------------------------


class Teach:
    """Smoothed binary cross-entropy of waveforms; stripes and mixtures only in training."""

    def __init__(self, spec: FeatureSpec, recipe: Recipe):
        self.frontend, self.recipe = Frontend(spec), recipe

    def __call__(
        self, model: Any, batch: Mapping[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            values, lengths = self.frontend(batch["waveform"], batch["lengths"])
        return {"loss": taught(model, values, lengths, batch["targets"], self.recipe, generator)}


def taught(
    model: Any,
    values: Float[Tensor, "b bins frames"],
    lengths: Int[Tensor, "b"],
    targets: Int[Tensor, "b"],
    recipe: Recipe,
    generator: torch.Generator,
) -> Tensor:
    """The loss of a batch of features; targets are 1 for synthetic."""
    values, lengths = values[..., : model.config.frames], lengths.clamp(max=model.config.frames)
    synthetic = targets.to(values.dtype)
    if model.training:
        values, lengths, synthetic = altered(values, lengths, synthetic, recipe, generator)
    return spectttra.loss(model.logit(values, lengths).float(), synthetic, recipe.smoothing)


def altered(
    values: Tensor, lengths: Tensor, synthetic: Tensor, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mixtures of neighbours in the batch, then stripes of the mean, each by chance."""
    chances = torch.rand(2, generator=generator)
    if chances[0] < recipe.mixup_chance:
        share = mixing_shares(1, recipe.mixup, generator).to(values)
        values = mixed_neighbours(values, share)
        synthetic = mixed_neighbours(synthetic, share)
        lengths = torch.maximum(lengths, lengths.roll(1, 0))
    if chances[1] < recipe.stripe_chance:
        values = striped(values, 2, 2, recipe.stripe, generator)
        values = striped(values, 1, 1, recipe.stripe, generator)
    return values, lengths, synthetic


Held = Callable[[], Iterable[tuple[Tensor, Tensor, Tensor]]]  # values, lengths, targets


def measured(held: Held) -> Callable[[nn.Module], dict[str, float]]:
    """F1 of synthetic, sensitivity (recall of synthetic), specificity (of real), accuracy and the
    loss, its labels not smoothed.
    """

    def evaluate(model: Any) -> dict[str, float]:
        confusion, device, loss = Confusion(2), next(model.parameters()).device, 0.0
        for values, lengths, targets in held():
            frames = model.config.frames
            logits = model(values[..., :frames].to(device), lengths.clamp(max=frames).to(device))
            logits = logits.float().cpu()
            confusion.update(logits, targets)
            loss += float(cross_entropy(logits, targets, reduction="sum"))
        counts = confusion.compute()
        recalls = confusion.recalls().nan_to_num(0.0)
        return {
            "f1": float(confusion.f1().nan_to_num(0.0)[1]),
            "sensitivity": float(recalls[1]),
            "specificity": float(recalls[0]),
            "accuracy": float(counts.diagonal().sum() / counts.sum()),
            "loss": loss / int(counts.sum()),
        }

    return evaluate


def crops(clips: Clips, task: str, spec: FeatureSpec, crop_s: float, batch: int) -> Held:
    """One crop of every clip, where the official evaluation takes it."""

    def held() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        frontend = Frontend(spec)
        for begin in range(0, len(clips), batch):
            rows = range(begin, min(begin + batch, len(clips)))
            draws = [
                Draw(
                    row,
                    CROP_AT * max(0.0, clips[row].duration_s - crop_s),
                    min(crop_s, clips[row].duration_s),
                )
                for row in rows
            ]
            read = make_batch(clips, draws, spec.rate_hz, crop_s, task, CLASSES)
            made = frontend(read["waveform"], read["lengths"])
            yield made.values, made.lengths, read["targets"]

    return held


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Train a preset to tell real from synthetic, into a run folder; started again it goes on.

    Without `recipe.task` the recordings are made again first, into `folder/sounds`. A tenth of the
    recordings (by group) is held out, and the weights of the best F1 on them are kept; those of the
    test split are neither heard nor made again. Returns the trainer's Summary. The folder loads as
    a tagger.
    """
    recipe, folder = recipe or recipe_of(name), Path(folder)
    config = preset(name).make()
    if not isinstance(config, spectttra.Config):
        raise InputError(f"{name} is not trained by the recipe of SpecTTTra")
    spec = config.features
    crop_s = recipe.crop_s or spec.samples(config.frames) / spec.rate_hz
    clips = clips.filter(lambda clip: clip.duration_s >= recipe.shortest_s)
    task = recipe.task or TASK
    if recipe.task:
        clips = clips.labelled(task)
        if clips.classes(task) != list(CLASSES):
            raise InputError(
                f"task {task!r} has the classes {', '.join(clips.classes(task)[:5])}: "
                f"it takes {REAL} and {SYNTHETIC}"
            )
    learned, valid = divided(clips)
    if not recipe.task:
        parts = []
        for part, most in ((learned, 3 * recipe.pairs // 4), (valid, recipe.pairs // 4)):
            parts.append(
                resynthesised(
                    part, folder / "sounds", spec.rate_hz, crop_s, recipe.makers, max(1, most),
                    recipe.per_clip, progress,
                )
            )  # fmt: skip
        learned, valid = parts
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        model = spectttra.build(dataclasses.replace(config, labels=CLASSES))
    batches = Batches(
        learned,
        recipe.batch,
        crop_s,
        spec.rate_hz,
        seed=recipe.train.seed,
        workers=recipe.workers,
        draw=recipe.draw,
        task=task,
        classes=CLASSES,
    )
    evaluate = measured(crops(valid, task, spec, crop_s, recipe.batch))
    summary = Trainer(
        model, Teach(spec, recipe), batches, folder, recipe.train, evaluate, progress,
        best=("f1", "max"),
    ).run()  # fmt: skip
    of = "labelled clips" if recipe.task else f"re-synthesis by {', '.join(recipe.makers)}"
    words = f"SpecTTTra detector of {of}, trained on {learned.seconds / 3600:.2g} h"
    if not recipe.task:
        words += "; not of generated songs"
    card = {**card_of(name, model, clips, recipe, summary), "summary": words}
    weights.describe(folder, model.describe(), card | {"labels": list(CLASSES)})
    return summary
