"""Training of a universal separator on anchors of weakly labelled clips."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tyro.conf import Positional

from sonograph import registry, weights
from sonograph.config import Config
from sonograph.data.anchors import AnchorMixtures, anchors
from sonograph.data.clips import Clip, Clips
from sonograph.data.mixtures import Batch, Pool
from sonograph.data.sampler import random_of
from sonograph.errors import InputError
from sonograph.losses.separation import si_snr
from sonograph.metrics.intervals import mean_interval
from sonograph.metrics.separation import ideal_ratio_mask
from sonograph.progress import Progress, silent
from sonograph.recipes.pretraining import data_of, divided
from sonograph.recipes.separate.training import Trained
from sonograph.systems.separate import universal
from sonograph.systems.separate.universal import Pretraining, Universal
from sonograph.train.trainer import TrainConfig, Trainer

SILENT = 1e-10  # of a part's mean square
FRAME = 2048  # of the oracle, samples
LEVEL_DB = (-35.0, -15.0)  # of what is asked for, in training
SHORT = TrainConfig(
    steps=60,
    lr=2e-3,
    weight_decay=0.0,
    clip_norm=5.0,
    warmup_steps=6,
    eval_every=30,
    save_every=5,
    log_every=1,
)


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Training of one preset. The defaults are those of the paper, section IV.B."""

    batch: int = 16
    segment_s: float = 2.0
    held_out_batches: int = 8
    mined: bool = True  # whether anchors are where the tagger is surest, else anywhere
    train: TrainConfig = TrainConfig(
        steps=1_000_000,
        optimizer="amsgrad",
        lr=1e-3,
        weight_decay=0.0,
        schedule="constant",
        warmup_steps=30_000,
        eval_every=10_000,
        save_every=1000,
        log_every=100,
    )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    if name == "universal-test":
        return Recipe(batch=4, segment_s=1.0, held_out_batches=2, train=SHORT)
    if name == "universal-mini":
        train = SHORT.override(steps=1500, warmup_steps=100, eval_every=250, save_every=50,
                               log_every=25, lr_floor=0.02)  # fmt: skip
        return Recipe(batch=8, train=train)
    return Recipe()


# --- training ------------------------------------------------------------------------------------


def with_tagger(model: Universal, tagger: nn.Module) -> Universal:
    """The model with the weights of a trained tagger in its query net."""
    if model.query is None:
        raise InputError("this model has no query net to put a tagger into")
    weights.load_state(model.query.tagger, tagger.state_dict(), "the tagger")
    return model


def small(seed: int = 0) -> Universal:
    """A U-Net that learns in seconds, asked with the bundled tagger: what `fit` trains."""
    base: Any = registry.preset("universal-mini").make()
    config = dataclasses.replace(
        base, fft_samples=512, hop_samples=256, channels=(8, 16, 24), window_s=1.0, momentum=0.1
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = universal.build(config)
    return with_tagger(model, weights.load(weights.BUNDLED_TAGGER))


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short training on some of any clips; started again it goes on."""
    recipe, clips = recipe_of("universal-test"), some_of(clips)
    if steps is not None:
        recipe = recipe.override({"train.steps": steps})
    return train(small(), clips, folder, recipe, progress).told()


def some_of(clips: Clips, most: int = 160, longest_s: float = 30.0) -> Clips:
    """So many clips, those whose id hashes lowest: a short training needs no hours of anchors."""
    short = [clip for clip in clips if clip.duration_s <= longest_s]
    lowest = sorted(short, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())
    return Clips(lowest[:most])


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Train a preset on weakly labelled clips into a folder; started again it goes on.

    `universal-mini` is asked with the bundled tagger; the published sizes have an untrained CNN14
    inside: load its weights first and use `train`.
    """
    recipe = recipe or recipe_of(name)
    model = registry.build(name, seed=recipe.train.seed)
    model.name = name
    if name == "universal-mini":
        with_tagger(model, weights.load(weights.BUNDLED_TAGGER))
    return train(model, clips, Path(folder), recipe, progress).summary


def labels_of(clip: Clip) -> str:
    """What a clip is drawn as: its sound, else its first label, else its source."""
    for task in ("sound", "class", "effect", "sample", "instrument", "kind"):
        if task in clip.labels:
            return clip.labels[task]
    return next(iter(clip.labels.values()), clip.source)


def parted(clips: Clips) -> tuple[Clips, Clips]:
    """(train, valid), of which the second has two classes at least that the first has too."""
    learned, valid = divided(clips)
    for seed in range(1, 50):
        if len({labels_of(c) for c in learned} & {labels_of(c) for c in valid}) > 1:
            return learned, valid
        inner = Clips([dataclasses.replace(clip, split=None) for clip in (*learned, *valid)])
        learned, valid = inner.split("train", seed=seed), inner.split("valid", seed=seed)
    raise InputError("no two classes can be held out: give clips of more classes or recordings")


def mixtures_of(
    clips: Clips,
    model: Universal,
    recipe: Recipe,
    seed: int,
    classes: Sequence[str] = (),
    level_db: tuple[float, float] | None = LEVEL_DB,
) -> AnchorMixtures:
    """Mixtures of the anchors of clips; classes: those to draw from, all unless told."""
    if model.query is None:
        raise InputError("this model has no tagger to look for anchors with")
    if classes:
        clips = clips.filter(lambda clip: labels_of(clip) in classes)
    pool = Pool(clips, model.rate_hz)
    samples = round(recipe.segment_s * model.rate_hz)
    tagger = model.query.tagger.eval()
    rows = [[labels_of(clip)] for clip in clips]
    found = anchors(pool, rows, samples, tagger, "mined" if recipe.mined else "random")
    return AnchorMixtures(pool, found, recipe.batch, samples, seed, level_db)


def with_typical(model: Universal, mixtures: AnchorMixtures, most: int = 24) -> Universal:
    """The model, which from now on asks for a class with the mean tags of so many anchors of it."""
    for name, some in mixtures.of_class.items():
        if name in model.classes:
            random = random_of(mixtures.seed, "clip", model.classes.index(name))
            rows = [some[int(n)] for n in random.permutation(len(some))[:most]]
            waves = np.stack([mixtures.segment(anchor, random)[0] for anchor in rows])
            model.learn_typical(name, torch.from_numpy(waves))
    return model


def train(
    model: Universal, clips: Clips, folder: Path, recipe: Recipe, progress: Progress = silent
) -> Trained:
    """Train in place on clips with labels, into a folder that then loads as a model."""
    learned, valid = parted(clips.filter(lambda clip: clip.duration_s >= 0.1))
    mixtures = mixtures_of(learned, model, recipe, recipe.train.seed)
    with_typical(model.eval(), mixtures)
    other = mixtures_of(valid, model, recipe, 1, tuple(mixtures.of_class))
    kept = [other.batch(k) for k in range(recipe.held_out_batches)]
    objective = Pretraining(model).eval()
    with torch.no_grad():
        before = held_out(objective, kept)
    summary = Trainer(
        objective,
        lambda learner, batch, generator: learner(batch, generator),
        mixtures,
        folder / "run",
        recipe.train,
        lambda learner: held_out(learner, kept),
        progress,
        best=("si_sdr_improvement", "max"),
    ).run()
    objective.eval()
    with torch.no_grad():
        after = held_out(objective, kept)
    name = getattr(model, "name", folder.name)
    card = {
        "name": name,
        "system": "universal",
        "summary": f"any of {len(model.classes)} sounds out of anything, trained on weak labels",
        "classes": list(model.classes),
        "data": data_of(clips),
        "steps": summary.steps,
        "held_out": after,
        "recipe": recipe.to_dict(),
        "licence": "Apache-2.0 for the weights; the licences of the data are listed with it",
    }
    weights.save_folder(folder, model, card)
    return Trained(before, after, dataclasses.replace(summary, folder=folder))


def held_out(learner: Any, batches: Sequence[Batch]) -> dict[str, float]:
    """The objective's scalars, and by how many dB what was asked for became better."""
    sums: dict[str, float] = {}
    for batch in batches:
        wanted = batch["sources"][:, 0]
        told = {**batch, "condition": learner.condition(batch, wanted)}
        found = dict(learner(told))
        made = learner.separator.net(batch["mixture"], told["condition"])
        gain = si_snr(made, wanted) - si_snr(batch["mixture"], wanted)
        found["si_sdr_improvement"] = gain.mean()
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value) / len(batches)
    return sums


# --- the bundled model -----------------------------------------------------------------------

NAME = "anything"
MEASURED, SEED = 120, 2  # mixtures of recordings that were held out
LIMITS = (
    "Learned for some forty minutes of one core, asked by a small tagger: it pulls apart two "
    "sounds of kinds that it knows when they are unlike each other, and leaves much of the rest "
    "in. Published checkpoints are far better, and load."
)


@torch.inference_mode()
def measured(model: Universal, mixtures: AnchorMixtures, count: int = MEASURED) -> dict[str, Any]:
    """What it is worth to ask by name, beside the mixture and the oracle's mask: SI-SDR in dB."""
    kinds = ("mixture", "model", "oracle mask")
    rows: list[tuple[str, dict[str, float]]] = []
    for k in range(count):
        batch, name = mixtures.batch(k), mixtures.asked_for(k)[0]
        wanted = batch["sources"][:, 0]
        if min(float(source.square().mean()) for source in batch["sources"][0]) < SILENT:
            continue
        made = model.asked({name: model.condition_of_class(name)})(batch["mixture"])[:, 0]
        oracle = torch.from_numpy(ideal_ratio_mask(batch["sources"][0].numpy(), FRAME)[:1])
        heard = (batch["mixture"], made, oracle)
        told = {kind: float(si_snr(one, wanted).mean()) for kind, one in zip(kinds, heard)}
        rows.append((name, told))
    gains = [told["model"] - told["mixture"] for _, told in rows]
    interval = mean_interval(gains)
    return {
        "mixtures": len(rows),
        "seconds": mixtures.samples / model.rate_hz,
        "si_sdr_improvement": {
            "mean": interval.mean, "low": interval.low, "high": interval.high,
            "worse": sum(gain < 0 for gain in gains),
        },
        **{kind: {"si_sdr": float(np.mean([t[kind] for _, t in rows]))} for kind in kinds},
        "improvement by class": {
            name: float(np.mean([g for g, (one, _) in zip(gains, rows) if one == name]))
            for name in sorted({one for one, _ in rows})
        },
    }  # fmt: skip


def bundle(folder: Path, learned: Clips, test: Clips, target: Path) -> dict[str, Any]:
    """Write `target/anything` in half precision with a card that says what it is worth."""
    model: Any = weights.load(folder)
    both = {labels_of(c) for c in learned} & {labels_of(c) for c in test}
    known = sorted(both & set(model.classes))  # "other" cannot be asked for
    recipe = dataclasses.replace(recipe_of("universal-mini"), batch=1, segment_s=4.0)
    mixtures = mixtures_of(test, model, recipe, SEED, known, level_db=None)
    card = {
        **{key: value for key, value in model.card.items() if key != "sha256"},
        "name": NAME,
        "summary": f"any of {len(model.classes)} sounds out of anything, by name or by example, "
        f"{model.rate_hz // 1000} kHz",
        "parameters": sum(p.numel() for p in model.parameters()),
        "intended_use": "A dog out of traffic, speech out of a workshop: `separate --query NAME`, "
        "`--like EXAMPLE` or `--auto`.",
        "limits": LIMITS,
        "quality": measured(model, mixtures),
    }
    weights.save_folder(target / NAME, model, card, dtype="float16")
    return card["quality"]


@dataclasses.dataclass(frozen=True)
class Args:
    folder: Positional[Path]
    """The run folder; given one that exists, training goes on."""
    esc: Path | None = None
    """A folder with ESC-10, whose first four folds are learned from."""
    steps: int = 1500
    """Updates."""
    target: Path = weights.BUNDLED
    """Where the bundled model goes."""


def main(args: Args) -> None:
    """Train `universal-mini` on what the bundled tagger was trained on, measure it, bundle it."""
    from sonograph.progress import Line
    from sonograph.recipes.tag.sounds import sounds

    learned, test = sounds(args.esc, None)
    recipe = recipe_of("universal-mini").override({"train.steps": args.steps})
    summary = pretrain("universal-mini", learned, args.folder, recipe, Line("universal-mini"))
    print(summary.best)
    print(json.dumps(bundle(args.folder, learned, test, args.target), indent=1))


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
