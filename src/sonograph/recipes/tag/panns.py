"""How PANNs are trained: with labels, every class equally often, mixed and striped.

The published presets carry the paper's recipe; the small ones a shorter one of ours: AdamW with a
cosine, and narrower stripes for their shorter windows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sonograph import weights
from sonograph.audio.augment import mixed_pairs, mixing_shares, striped
from sonograph.audio.feature_spec import Frontend, waveform_spec
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clip, Clips
from sonograph.data.loader import Batches, Pass
from sonograph.data.sampler import ByClasses
from sonograph.errors import InputError
from sonograph.metrics.intervals import paired_interval
from sonograph.metrics.tagging import Ranking
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.recipes.arms import (
    EFFECT,
    INSTRUMENT,
    Way,
    compare,
    spent,
    task_figures,
    verdict_of,
)
from sonograph.recipes.pretraining import card_of, data_of, divided
from sonograph.records import Figure, Record, stamped
from sonograph.registry import preset
from sonograph.systems.tag import panns
from sonograph.train.finetune import Finetune
from sonograph.train.trainer import TrainConfig, Trainer

MOST_CLASSES = 50  # a task with more of them is not taken by itself: words, syllables, numbers


@dataclasses.dataclass(frozen=True)
class Recipe(pretraining.Recipe):
    """Supervised training of one preset. `batch` counts mixtures: twice as many clips are read."""

    tasks: tuple[str, ...] = ()  # of the clips' labels; none named: all with few enough classes
    fewest: int = 5  # clips a class must have
    balance: Literal["classes", "none"] = "classes"  # "none": clips are drawn as `draw` says
    mixup: float = 1.0  # alpha of the mixtures; 0: none
    frame_stripe: int = 64  # stripes are narrower than so many frames; two a clip
    bin_share: int = 8  # and than this part of the mel bins


def published() -> Recipe:
    """AMSGrad without decay of rate or weights, 600,000 updates of 32 mixtures (section IV.A)."""
    return Recipe(
        draw="clips",
        train=TrainConfig(
            steps=600_000,
            optimizer="amsgrad",
            lr=1e-3,
            weight_decay=0.0,
            schedule="constant",
            eval_every=2000,
            save_every=2000,
        ),
    )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    if name in ("panns-test", "panns-demo"):
        return Recipe(frame_stripe=16, train=_short(400))
    if name == "panns-mini":
        return Recipe(train=_short(2000))
    return published()


def _short(steps: int) -> TrainConfig:
    return TrainConfig(
        steps=steps,
        lr=2e-3,
        clip_norm=1.0,
        warmup_steps=steps // 10,
        eval_every=max(50, steps // 10),
        save_every=100,
        log_every=20,
    )


class Labels:
    """Which labels of clips are learned, and the places of a clip's own among them.

    With one task its classes, with several "task: class"; classes of fewer than `fewest` clips are
    left out. Raises InputError where less than two are left.
    """

    def __init__(self, clips: Clips, tasks: Sequence[str], fewest: int):
        known = clips.tasks()
        for task in tasks:
            clips.classes(task)  # says which tasks there are
        few = [task for task in known if len(clips.classes(task)) <= MOST_CLASSES]
        self.tasks = tuple(tasks) or tuple(sorted(few))
        counts = Counter(
            name for clip in clips for name in (self.name(t, clip.labels) for t in self.tasks)
        )
        del counts[""]
        self.names = tuple(sorted(name for name, count in counts.items() if count >= fewest))
        if len(self.names) < 2:
            raise InputError(
                f"{len(self.names)} labels have {fewest} clips or more in {', '.join(self.tasks)}: "
                "give more clips, other tasks, or a smaller `fewest`"
            )
        self.place = {name: place for place, name in enumerate(self.names)}

    def name(self, task: str, labels: Mapping[str, str]) -> str:
        if task not in labels:
            return ""
        return labels[task] if len(self.tasks) == 1 else f"{task}: {labels[task]}"

    def of(self, labels: Mapping[str, str]) -> list[int]:
        """The places of a clip's labels."""
        names = (self.name(task, labels) for task in self.tasks)
        return [self.place[name] for name in names if name in self.place]

    def targets(self, rows: Sequence[Mapping[str, str]]) -> Float[Tensor, "b labels"]:
        """1 where a clip has a label."""
        made = torch.zeros(len(rows), len(self.names))
        for row, labels in zip(made, rows):
            row[self.of(labels)] = 1
        return made


class Teach:
    """Binary cross-entropy of (mixed) clips; stripes and mixtures only in training."""

    def __init__(self, model: panns.PANNs, labels: Labels, recipe: Recipe):
        self.frontend, self.labels, self.recipe = Frontend(model.spec), labels, recipe

    def __call__(
        self, model: Any, batch: Mapping[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        waveform = batch["waveform"]
        with torch.no_grad():
            features = self.frontend(waveform, batch["lengths"])
        targets = self.labels.targets(batch["labels"]).to(waveform.device)
        maps = model.encoder.front(features.values, features.lengths)
        if model.training:
            maps, targets = self.altered(maps, targets, generator)
        logits = model.classify(model.encoder.trunk(maps)).float()
        return {"loss": binary_cross_entropy_with_logits(logits, targets)}

    def altered(
        self, maps: list[panns.Map], targets: Tensor, generator: torch.Generator
    ) -> tuple[list[panns.Map], Tensor]:
        """Stripes on the log-mel, if there is one, then mixtures of pairs of everything."""
        first = maps[0]
        if first.values.ndim == 4 and first.values.shape[1] == 1:
            bins = first.values.shape[3]
            values = striped(first.values, 2, 2, self.recipe.frame_stripe, generator)
            values = striped(values, 3, 2, max(1, bins // self.recipe.bin_share), generator)
            maps = [panns.Map(values, first.lengths), *maps[1:]]
        half = len(targets) // 2
        if not self.recipe.mixup or not half:
            return maps, targets
        shares = mixing_shares(half, self.recipe.mixup, generator)
        mixed = []
        for values, lengths in maps:
            longer = None
            if lengths is not None:
                longer = torch.maximum(lengths[0 : 2 * half : 2], lengths[1 : 2 * half : 2])
            mixed.append(panns.Map(mixed_pairs(values[: 2 * half], shares), longer))
        return mixed, mixed_pairs(targets[: 2 * half], shares)


def mean_average_precision(
    teach: Teach, clips: Clips, crop_s: float
) -> Callable[[nn.Module], dict[str, float]]:
    """Macro mAP, AUC and loss on the start of each clip; classes without clips are left out."""
    batches = Pass(clips, 32, crop_s, teach.frontend.spec.rate_hz)

    def evaluate(model: nn.Module) -> dict[str, float]:
        ranking, losses, device = Ranking(), [], next(model.parameters()).device
        for batch in batches:
            waveform = batch["waveform"].to(device)
            features = teach.frontend(waveform, batch["lengths"].to(device))
            logits = model(features.values, features.lengths).float().cpu()
            targets = teach.labels.targets(batch["labels"])
            ranking.update(logits.sigmoid(), targets)
            losses.append(float(binary_cross_entropy_with_logits(logits, targets)) * len(targets))
        found = ranking.compute()
        loss = sum(losses) / len(clips)
        if found.skipped == len(teach.labels.names):
            return {"loss": loss, "map": 0.0, "auc": 0.0}
        return {"loss": loss, "map": found.mean_average_precision, "auc": found.auc}

    return evaluate


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Train a preset on the labels of clips, into a run folder; started again it goes on.

    A tenth of the recordings (by group) is held out to measure mean average precision. Returns the
    trainer's Summary. The folder then loads as a tagger with these labels.
    """
    config = preset(name).make()
    if not isinstance(config, panns.Config):
        raise InputError(f"{name} is not trained by the recipe of PANNs")
    return train(config, name, clips, folder, recipe or recipe_of(name), progress)


def train(
    config: panns.Config,
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe,
    progress: Progress = silent,
    start: Mapping[str, Tensor] | None = None,
) -> Any:
    """`pretrain` of a configuration that is like the preset `name`, whatever its labels.

    start: weights to begin with, of a model with the same labels.
    """
    clips = clips.filter(lambda clip: clip.duration_s >= recipe.shortest_s)
    labels = Labels(clips, recipe.tasks, recipe.fewest)
    clips = clips.filter(lambda clip: bool(labels.of(clip.labels)))
    learned, valid = divided(clips)
    valid = _some(valid, recipe.held_out_batches * recipe.batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        model = panns.PANNs(dataclasses.replace(config, labels=labels.names))
    if start is not None:
        model.load_state_dict(start)
    spec = model.spec
    crop_s = recipe.crop_s or spec.samples(config.frames) / spec.rate_hz
    size = 2 * recipe.batch if recipe.mixup else recipe.batch
    batches = Batches(
        learned,
        size,
        crop_s,
        spec.rate_hz,
        seed=recipe.train.seed,
        workers=recipe.workers,
        draw=recipe.draw,
    )
    if recipe.balance == "classes":
        batches.sampler = ByClasses(
            [clip.duration_s for clip in learned],
            size,
            crop_s,
            recipe.train.seed,
            [labels.of(clip.labels) for clip in learned],
        )
    teach = Teach(model, labels, recipe)
    measure = mean_average_precision(teach, valid, crop_s)
    summary = Trainer(
        model, teach, batches, folder, recipe.train, measure, progress, best=("map", "max")
    ).run()
    words = f"PANNs tagger of {len(labels.names)} labels, trained on {clips.seconds / 3600:.1f} h"
    card = {**card_of(name, model, clips, recipe, summary), "summary": words}
    weights.describe(Path(folder), model.describe(), card | {"labels": list(labels.names)})
    return summary


def _some(clips: Clips, most: int) -> Clips:
    """So many of the clips, those whose id hashes lowest."""

    def place(clip: Clip) -> bytes:
        return hashlib.sha256(clip.id.encode()).digest()

    kept = {clip.id for clip in sorted(clips, key=place)[:most]}
    return clips.filter(lambda clip: clip.id in kept)


# --- the claims ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claims are measured; everything is fixed before a run."""

    share: int  # how much narrower than CNN10 all channels are
    pretrain_updates: int
    adapt_updates: int
    front_updates: int  # of the comparison of front-ends, from scratch
    labels: int = 10  # clips a class in the target tasks
    batch: int = 32  # of pre-training
    adapt_batch: int = 16
    mixup: float = 1.0  # of pre-training
    frames: int = 101
    lr: float = 1e-3
    seeds: int = 3

    @property
    def extra_updates(self) -> int:
        """What a scratch arm gets for pre-training: as many clips through the network."""
        return round(self.pretrain_updates * self.batch / self.adapt_batch)


SCALES = {
    # in so few updates mixtures would teach little more than how frequent the labels are
    "cpu": Scale(4, pretrain_updates=80, adapt_updates=30, front_updates=40, mixup=0.0),
    "gpu": Scale(1, pretrain_updates=4000, adapt_updates=600, front_updates=2000),
}
QUESTIONS = (EFFECT, INSTRUMENT)
TARGETS = ("ufoai", "timgm6mb")  # never heard in pre-training
PAPER = (
    Figure("ESC-50, pre-trained and fine-tuned", 94.7, unit="% accuracy"),
    Figure("ESC-50, from scratch", 83.3, unit="% accuracy"),
)
PAPER_FRONTS = (
    Figure("AudioSet, log-mel (CNN14)", 0.431, unit="mAP"),
    Figure("AudioSet, Wavegram", 0.389, unit="mAP"),
    Figure("AudioSet, Wavegram and log-mel", 0.439, unit="mAP"),
)
RULE = (
    "The 95 % Student's t interval of the difference in test accuracy ({a} minus {b}), paired by "
    "task and seed over {pairs} pairs, lies above 0: shown; below 0: not shown; else inconclusive. "
    "{equal} Seed s learns on split s, whose recordings are on one side only."
)
EQUAL_CLIPS = "Every arm puts as many clips through the network."
EQUAL_UPDATES = "Both arms get the same clips, updates and channels."


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Supervised pre-training against scratch on few labels, and Wavegram-Logmel against log-mel.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    clips = corpora.open_sets(["core"], data_folder)
    seeds = range(plan.seeds)
    config = _sized(plan)
    transfer = _transfer(plan, config, clips, seeds, folder / "transfer", progress)
    fronts = _fronts(plan, config, clips, seeds, folder / "fronts", progress)
    seconds = spent(folder, time.perf_counter() - began)
    rows = [
        ("claim", "pretrained", "scratch", transfer, EQUAL_CLIPS, PAPER,
         "With few labels, supervised pre-training on other sounds beats training from scratch."),
        ("claim-frozen", "frozen", "scratch", transfer, EQUAL_CLIPS, (),
         "With few labels, a linear probe of the frozen pre-trained network beats training from "
         "scratch."),
        ("claim-wavegram", "both", "logmel", fronts, EQUAL_UPDATES, PAPER_FRONTS,
         "A Wavegram beside the log-mel is better than the log-mel alone, at equal width."),
    ]  # fmt: skip
    found = []
    for file, a, b, by_task, equal, paper, sentence in rows:
        first, second = ([v for row in by_task.values() for v in row[arm]] for arm in (a, b))
        gain = paired_interval(first, second)
        record = Record(
            system="panns",
            kind="claim",
            sentence=sentence,
            rule=RULE.format(a=a, b=b, pairs=len(first), equal=equal),
            verdict=verdict_of(gain),
            measured=(
                Figure(f"{a} minus {b}", gain.mean, gain.low, gain.high, "accuracy"),
                *task_figures(by_task, (a, b)),
            ),
            paper=paper,
            arms=(a, b),
            data=tuple(row["source"] for row in data_of(clips)),
            seeds=tuple(seeds),
            details={"scale": plan.to_dict(), "tasks": by_task},
        )
        found.append((f"{file}-gpu" if scale == "gpu" else file, stamped(record, seconds)))
    return found


def _sized(plan: Scale) -> panns.Config:
    """CNN10 at 16 kHz, as narrow and short as the scale says."""
    full = panns.presets.cnn10()
    return dataclasses.replace(
        full,
        channels=tuple(width // plan.share for width in full.channels),
        embedding=full.embedding // plan.share,
        features=panns.logmel(16000),
        frames=plan.frames,
    )


def _untrained(config: panns.Config, seed: int) -> panns.PANN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return panns.build(config).encoder


def _transfer(
    plan: Scale,
    config: panns.Config,
    clips: Clips,
    seeds: Sequence[int],
    folder: Path,
    progress: Callable[[str], Progress],
) -> dict[str, dict[str, Any]]:
    """Scratch, pre-trained and fine-tuned, pre-trained and frozen, on the target tasks."""
    source = clips.filter(lambda clip: clip.source not in TARGETS)
    encoders = {}
    for seed in seeds:
        recipe = recipe_of("panns-demo").override(
            {
                "batch": plan.batch,
                "mixup": plan.mixup,
                "train.steps": plan.pretrain_updates,
                "train.seed": seed,
                "train.warmup_steps": plan.pretrain_updates // 10,
                "train.eval_every": plan.pretrain_updates,
                "train.save_every": 0,
            }
        )
        place = folder / f"pretrain-{seed}"
        train(config, "panns-demo", source, place, recipe, progress(f"pre-training, seed {seed}"))
        encoders[seed] = weights.load_folder(place).encoder
    taught = _taught(plan, plan.adapt_updates)
    probe = taught.override({"method": "linear"})
    ways = [
        Way("scratch", "from scratch", lambda seed: _untrained(config, seed), taught,
            plan.extra_updates),
        Way("pretrained", "pre-trained, fine-tuned", lambda seed: encoders[seed], taught),
        Way("frozen", "pre-trained, frozen", lambda seed: encoders[seed], probe),
    ]  # fmt: skip
    return compare(
        QUESTIONS, clips, config.features, config.frames, ways, seeds, folder, progress, plan.labels
    )


def _fronts(
    plan: Scale,
    config: panns.Config,
    clips: Clips,
    seeds: Sequence[int],
    folder: Path,
    progress: Callable[[str], Progress],
) -> dict[str, dict[str, Any]]:
    """Log-mel alone and with a Wavegram, at 32 kHz and equal channels, from scratch."""
    spec = panns.logmel(32000)
    logmel = dataclasses.replace(config, features=spec)
    waves = config.wave_channels
    both = dataclasses.replace(
        logmel,
        front="both",
        features=waveform_spec(32000),
        frames=spec.samples(plan.frames),
        # the last ones are at least one group of bins
        wave_channels=(*(n // plan.share for n in waves[:2]),
                       *(max(config.wave_bins, n // plan.share) for n in waves[2:])),
    )  # fmt: skip
    # a shift in frames and a gain in decibels mean different things to the two
    taught = _taught(plan, plan.front_updates).override({"noise": 0.0, "roll_frames": 0})
    found: dict[str, dict[str, Any]] = {}
    for name, made in (("logmel", logmel), ("both", both)):

        def start(seed: int, made: panns.Config = made) -> Any:
            return _untrained(made, seed)

        way = Way(name, name, start, taught)
        rows = compare(QUESTIONS, clips, made.features, made.frames, [way], seeds, folder, progress)
        for task, row in rows.items():
            found.setdefault(task, {}).update(row)
    return found


def _taught(plan: Scale, updates: int) -> Finetune:
    return Finetune().override(
        {
            "batch": plan.adapt_batch,
            "train.steps": updates,
            "train.lr": plan.lr,
            "train.warmup_steps": updates // 10,
        }
    )
