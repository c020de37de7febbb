"""Self-pre-training: on clips, or on the examples of a task; the task's two ways; the claim.

    examples = long_range.digits()
    encoder = self_pretrain(registry.build("self-pretraining-s4d"), examples, "runs/own", config)
    finetune(encoder, train, test, "runs/task", Finetune(noise=0, roll_frames=0, train=config))

`self_pretrain` takes any encoder of the house. The published presets carry the official schedules.
The tasks of pixels, from their inputs to their own head:

    train, test = pixels("self-pretraining-image", "cifar-10-batches-bin")
    learn_pixels("self-pretraining-image", train, test, "runs/image")
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
from sonograph.audio.feature_spec import waveform_spec
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.errors import InputError
from sonograph.metrics.intervals import Interval, mean_interval, paired_interval
from sonograph.nn.encoder import Pooling
from sonograph.nn.heads import HeadKind
from sonograph.nn.s4d import KERNEL_WEIGHTS
from sonograph.progress import Progress, silent
from sonograph.recipes import long_range, pretraining
from sonograph.recipes.arms import TONE, open_task, spent, verdict_of
from sonograph.recipes.pretraining import Recipe
from sonograph.records import Figure, Record, Verdict, stamped
from sonograph.registry import build, preset
from sonograph.systems.represent import self_pretraining
from sonograph.train.finetune import Examples, Finetune, Finetuned, Shuffled, finetune
from sonograph.train.trainer import TrainConfig, Trainer

SMALL = ("test", "digits", "transformer", "s4d", "mamba")
# Mamba's rates and skips; A, B and the steps of S4D. The latter learn at a tenth of the rate.
SPARED = (*KERNEL_WEIGHTS, "*.log_rates", "*.skip")


def schedule(steps: int, lr: float, seed: int = 0, warmup: int = 0, decay: float = 0.01) -> Any:
    """Ours for small encoders, equal in all arms: AdamW, a cosine, gradients cut at 1."""
    return TrainConfig(
        steps=steps,
        lr=lr,
        lr_factors=tuple((pattern, 0.1) for pattern in KERNEL_WEIGHTS),
        weight_decay=decay,
        no_decay=SPARED,
        clip_norm=1.0,
        warmup_steps=warmup or steps // 10,
        seed=seed,
        save_every=0,
    )


@dataclasses.dataclass(frozen=True)
class Published:
    """Pre-training of one preset, as its official configuration has it: AdamW, batches, warm-up."""

    lr: float
    inputs: int  # of an epoch
    epochs: int
    warmup: int  # updates
    batch: int = 32
    decay: float = 0.0
    fall: Literal["constant", "cosine"] = "constant"  # after the warm-up
    slow: tuple[str, ...] = ()  # weights of kernels that learn at 1e-3

    def recipe(self) -> Recipe:
        steps = self.epochs * self.inputs // self.batch
        train = schedule(steps, self.lr, warmup=self.warmup, decay=self.decay)
        factors = tuple((pattern, 1e-3 / self.lr) for pattern in self.slow)
        train = dataclasses.replace(train, lr_factors=factors, schedule=self.fall)
        train = train.override({"clip_norm": 0.0, "eval_every": 5000, "save_every": 5000})
        return Recipe(draw="clips", batch=self.batch, train=train)


IMAGES, PATHS, WORDS, TOKENS = 45_000, 160_000, 84_843, 96_000  # inputs of a task's training split
STATE = tuple(pattern for pattern in KERNEL_WEIGHTS if pattern != "*.log_step")  # all but the steps
PUBLISHED = {
    "image": Published(1e-3, IMAGES, 50, 2500),
    "image-s4": Published(1e-2, IMAGES, 200, 1000, batch=50, decay=0.05, slow=STATE),
    "pathfinder": Published(5e-4, PATHS, 50, 2500),
    "pathx": Published(5e-4, PATHS, 200, 5000),
    "pathx-256": Published(5e-4, PATHS, 200, 5000),
    "pathx-s4": Published(5e-4, PATHS, 50, 5000, decay=0.05),  # its kernels learn as all the rest
    "speech": Published(1e-3, WORDS, 200, 2000, batch=16, decay=0.05),
    "speech-s4": Published(
        1e-2, WORDS, 40, 1000, batch=16, decay=0.05, fall="cosine", slow=KERNEL_WEIGHTS
    ),
    # rates of the token tasks are ours, see ABOUT
    "listops": Published(5e-4, TOKENS, 100, 2000),
    "text": Published(5e-4, TOKENS, 100, 2000),
    "retrieval": Published(5e-4, TOKENS, 100, 2000),
}


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset."""
    config = preset(name).make()
    if not isinstance(config, self_pretraining.Config):
        raise InputError(f"{name} is no preset of self-pre-training")
    size = name.removeprefix("self-pretraining-")
    if size in SMALL:
        train = schedule(2000, 2e-3).override({"eval_every": 200, "save_every": 100})
        return Recipe(shortest_s=0.02, train=train)
    return PUBLISHED[size].recipe()


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Pre-train a preset on the samples of clips, into a run folder; started again it goes on.

    A tenth of the recordings (by group) is held out to measure the loss. Returns the trainer's
    Summary. The folder then loads like any model. Raises InputError for presets of token ids.
    """
    recipe = recipe or recipe_of(name)
    config = preset(name).make()
    if not isinstance(config, self_pretraining.Config):
        raise InputError(f"{name} is no preset of self-pre-training")
    if config.vocabulary:
        raise InputError(f"{name} takes token ids, not sound: use `self_pretrain` with examples")
    torch.manual_seed(recipe.train.seed)
    model = self_pretraining.Pretraining(build(name, seed=recipe.train.seed))
    return pretraining.pretrain(name, model, clips, folder, recipe, progress=progress)


# --- the two ways of a task ----------------------------------------------------------------------


def denoise(
    model: nn.Module, batch: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """The objective's loss on the inputs of labelled examples, labels left out."""
    return model(batch["features"], batch["lengths"], generator)


def self_pretrain(
    encoder: Any,
    examples: Examples,
    folder: str | Path,
    config: TrainConfig,
    batch: int = 32,
    progress: Progress = silent,
) -> Any:
    """Pre-train any encoder, in place, on the inputs of a task's training examples.

    The examples' features have to be of the encoder's front-end. Returns the encoder; the folder
    loads like any model, and started again on it the training goes on.
    """
    torch.manual_seed(config.seed)
    model = self_pretraining.Pretraining(encoder)
    batches = Shuffled(examples, batch, config.seed)
    summary = Trainer(model, denoise, batches, folder, config, progress=progress).run()
    card = {"name": Path(folder).name, "system": "self_pretraining", "steps": summary.steps}
    weights.describe(Path(folder), model.describe(), card)
    return model.encoder


# --- tasks of pixels -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A task of pictures whose pixels are a sequence: their side, and the official head."""

    side: int
    joined: bool = False  # whether it is Pathfinder's question, of pictures drawn by rule
    head: HeadKind = "linear"
    pool: Pooling = "tokens"


PIXELS = {
    "digits": Pixels(16, head="network"),
    "image": Pixels(32, head="network"),
    "image-s4": Pixels(32),
    "pathfinder": Pixels(32, joined=True),
    "pathx": Pixels(128, joined=True, pool="largest"),
    "pathx-s4": Pixels(128, joined=True),
    "pathx-256": Pixels(256, joined=True, pool="largest"),
}


def pixels_of(name: str) -> Pixels:
    """The task of pixels that a preset is for."""
    size = name.removeprefix("self-pretraining-")
    if size not in PIXELS:
        known = ", ".join(f"self-pretraining-{known}" for known in PIXELS)
        raise InputError(f"{name} has no task of pixels: {known} have")
    return PIXELS[size]


def pixels(
    name: str, folder: str | Path | None = None, count: int | None = None, seed: int = 0
) -> tuple[Examples, Examples]:
    """(train, test) of a preset's task, each picture a row of side x side values from -1 to 1.

    Pathfinder and PathX are drawn, `count` pictures (20,000 of 32 x 32, and fewer larger ones),
    a tenth of them to test on. Image is CIFAR-10 in `folder` (see `long_range.cifar`), or without
    one the digits, a third of them to test on.
    """
    task = pixels_of(name)
    if not task.joined and folder is not None:
        if task.side != 32:
            raise InputError(f"{name} takes pictures of {task.side} x {task.side}, not of 32 x 32")
        return long_range.cifar(folder)
    if task.joined:
        count = count or 20_000 * 32**2 // task.side**2
        examples, held_out = long_range.pathfinder(count, seed, task.side), count // 10
    else:
        examples = long_range.digits(task.side)
        held_out = len(examples) // 3
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(examples)))
    return examples.take(order[held_out:]), examples.take(order[:held_out])


def fine_tuning(name: str) -> Finetune:
    """The second half of a task of pixels, as published: head, pooling, schedule."""
    task, size = pixels_of(name), name.removeprefix("self-pretraining-")
    if size in SMALL:
        batch, train = 16, schedule(1200, 1e-2)  # ours
    elif size == "image":  # 200 epochs of 45,000 pictures
        batch, train = 50, Published(1e-3, IMAGES, 200, 2000, batch=50).recipe().train
    elif size == "image-s4":
        batch, train = 50, schedule(200_000, 1e-2, warmup=1000, decay=0.05)
    elif size == "pathx-s4":
        batch, train = 16, schedule(500_000, 5e-4, warmup=10_000, decay=0.05)
    else:  # 200 epochs of 160,000
        batch, train = 32, Published(5e-4, PATHS, 200, 5000).recipe().train
    train = train.override({"eval_every": 0})
    return Finetune(
        pool=task.pool, head=task.head, batch=batch, noise=0.0, roll_frames=0, train=train
    )


def learn_pixels(
    name: str,
    train: Examples,
    test: Examples | None,
    folder: str | Path,
    first: TrainConfig | None = None,
    second: Finetune | None = None,
    progress: Progress = silent,
) -> Finetuned:
    """A preset's encoder on its task of pixels: fill in hidden ones, then tell the classes.

    first, second: of the two halves, the published ones if nothing is said. Leaves `pretrained`
    and `task` in the folder, which load like any model; started again it goes on.
    """
    task = pixels_of(name)
    if (found := train.features.shape[2]) != task.side**2:
        raise InputError(
            f"{name} takes pictures of {task.side} x {task.side} pixels, not of {found} in all"
        )
    recipe, second = recipe_of(name), second or fine_tuning(name)
    config = first or recipe.train.override({"eval_every": 0})
    encoder = self_pretrain(
        build(name, seed=config.seed), train, Path(folder) / "pretrained", config, recipe.batch,
        progress,
    )  # fmt: skip
    card = {"name": name, "system": "self_pretraining"}
    return finetune(encoder, train, test, Path(folder) / "task", second, card, progress)


# --- the claim -----------------------------------------------------------------------------------

TaskName = Literal["digits", "pathfinder", "tone"]
ENCODERS = ("transformer", "s4d", "mamba")
WAYS = ("scratch", "self-pre-trained")


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    tasks: tuple[TaskName, ...]
    side: int  # of the pictures, in pixels
    rate_hz: int  # of the spoken syllables
    samples: int
    most: int  # syllables
    pretrain_updates: int
    adapt_updates: int  # scratch has the sum of both
    batch: int
    lr: float
    width: int
    depth: int
    beside: tuple[TaskName, ...]  # tasks on which Mamba learns, too
    seeds: int = 3


SCALES = {
    "cpu": Scale(
        ("digits", "tone"), 16, 1000, 256, 700, 160, 130, 16, 2e-3, 32, 2, beside=("digits",)
    ),
    # a large GPU for twenty minutes; PathX would take it hours and is not measured
    "gpu": Scale(
        ("digits", "pathfinder", "tone"),
        32,
        4000,
        1024,
        2400,
        6000,
        4000,
        32,
        1e-3,
        64,
        3,
        beside=("digits", "pathfinder", "tone"),
    ),
}
PAPER = (
    Figure("Long Range Arena, Transformer from scratch", 53.7, unit="% accuracy"),
    Figure("Long Range Arena, S4 from scratch", 86.1, unit="% accuracy"),
    Figure("Long Range Arena, rotary Transformer, self-pre-trained", 86.0, unit="% accuracy"),
)
EQUAL = (
    "Scratch makes as many updates as pre-training and fine-tuning together; schedule, rate and "
    "inputs are equal in all arms; seed s learns on split s of each task, in both phases on its "
    "training part alone."
)
GAP_RULE = (
    "The gap is the test accuracy of {b} minus that of the Transformer. Over {pairs} pairs (task, "
    "seed), by 95 % Student's t intervals: the gap from scratch lies above 0, and half of it minus "
    "the gap after self-pre-training lies above 0: shown; that difference lies below 0: not shown; "
    "else inconclusive. " + EQUAL
)
GAIN_RULE = (
    "The 95 % Student's t interval of the difference in test accuracy (self-pre-trained minus "
    "scratch), paired by task and seed over {pairs} pairs, lies above 0: shown; below 0: not "
    "shown; else inconclusive. " + EQUAL
)


def splits_of(
    task: TaskName, plan: Scale, data_folder: Path | None = None
) -> list[tuple[Examples, Examples]]:
    """(train, test) of a task for each seed."""
    if task == "tone":
        clips = corpora.open_sets(["gcin"], data_folder)
        question = dataclasses.replace(TONE, most=plan.most)
        spec = waveform_spec(plan.rate_hz).override(level="rms", level_to=0.5)
        found = open_task(question, clips, spec, plan.samples, plan.seeds)
        return [(found.examples.take(a), found.examples.take(b)) for a, b in found.folds]
    if task == "digits":
        examples = long_range.digits(plan.side)
    else:
        examples = long_range.pathfinder(20_000, side=plan.side)
    third, splits = len(examples) // 3, []
    for seed in range(plan.seeds):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(examples)))
        splits.append((examples.take(order[third:]), examples.take(order[:third])))
    return splits


def encoder_for(name: str, plan: Scale, seed: int, rate_hz: int = 1000) -> Any:
    """One of the three, of the plan's size."""
    return build(
        f"self-pretraining-{name}",
        seed=seed,
        width=plan.width,
        depth=plan.depth,
        frames=max(plan.side**2, plan.samples),
        features=waveform_spec(rate_hz).override(level="rms", level_to=0.5).to_dict(),
    )


def learned(
    name: str,
    way: str,
    train: Examples,
    test: Examples,
    plan: Scale,
    seed: int,
    folder: Path,
    progress: Progress,
) -> float:
    """The test accuracy of one encoder taught in one way."""
    encoder = encoder_for(name, plan, seed, plan.rate_hz)
    steps = plan.adapt_updates
    if way == "scratch":
        steps += plan.pretrain_updates
    else:
        config = schedule(plan.pretrain_updates, plan.lr, seed)
        self_pretrain(encoder, train, folder / "pretrain", config, plan.batch, progress)
    teach = Finetune(noise=0.0, roll_frames=0, batch=plan.batch).override(
        {"train": schedule(steps, plan.lr, seed).to_dict()}
    )
    card = {"system": "self_pretraining", "arm": way, "seed": seed}
    taught = finetune(encoder, train, test, folder / "task", teach, card, progress)
    assert taught.measured is not None
    return taught.measured.accuracy


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Each encoder from scratch and self-pre-trained, at equal compute, and the gaps between them.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    table: dict[str, dict[str, list[float]]] = {}
    for task in plan.tasks:
        row = table.setdefault(task, {})
        for seed, (train, test) in enumerate(splits_of(task, plan, data_folder)):
            for name in ENCODERS:
                if name == "mamba" and task not in plan.beside:
                    continue
                for way in WAYS:
                    place = folder / task / f"{name}-{way}-{seed}"
                    tell = progress(f"{task}: {name}, {way}, seed {seed}")
                    accuracy = learned(name, way, train, test, plan, seed, place, tell)
                    row.setdefault(f"{name}, {way}", []).append(accuracy)
    seconds = spent(folder, time.perf_counter() - began)
    found = records_of(table, plan)
    suffix = "-gpu" if scale == "gpu" else ""
    return [(file + suffix, stamped(record, seconds)) for file, record in found]


def records_of(table: Mapping[str, Mapping[str, list[float]]], plan: Scale) -> list[Any]:
    """(name, record) for each gap, and for what each encoder gains."""
    means = tuple(
        Figure(f"{task}, {arm}", float(np.mean(values)), unit="accuracy")
        for task, row in table.items()
        for arm, values in row.items()
    )
    sources = {"digits": "UCI digits (scikit-learn)", "tone": "gcin", "pathfinder": "drawn here"}
    details = {"scale": plan.to_dict(), "tasks": {t: dict(row) for t, row in table.items()}}

    def made(
        sentence: str,
        rule: str,
        verdict: Verdict,
        first: tuple[Figure, ...],
        arms: tuple[str, ...],
        tasks: list[str],
    ) -> Record:
        return Record(
            system="self_pretraining",
            kind="claim",
            sentence=sentence,
            rule=rule,
            verdict=verdict,
            measured=(*first, *means),
            paper=PAPER,
            arms=arms,
            data=tuple(sources[task] for task in tasks),
            seeds=tuple(range(plan.seeds)),
            details=details,
        )

    found = []
    for rival in ENCODERS[1:]:
        rows = {t: row for t, row in table.items() if f"{rival}, scratch" in row}
        scratch, after = (
            np.concatenate(
                [
                    np.subtract(row[f"{rival}, {way}"], row[f"transformer, {way}"])
                    for row in rows.values()
                ]
            )
            for way in WAYS
        )
        verdict, gap, shrunk = judged(scratch, after)
        title = {"s4d": "S4D", "mamba": "Mamba"}[rival]
        figures = (
            Figure("half the gap minus what is left", shrunk.mean, shrunk.low, shrunk.high),
            Figure("gap from scratch", gap.mean, gap.low, gap.high, "accuracy"),
            Figure("gap self-pre-trained", float(after.mean()), unit="accuracy"),
        )
        sentence = (
            f"Self-pre-training takes more than half of the gap between {title} and a Transformer."
        )
        rule = GAP_RULE.format(b=title, pairs=len(scratch))
        arms = tuple(f"{name}, {way}" for name in ("transformer", rival) for way in WAYS)
        name = "claim" if rival == "s4d" else f"claim-{rival}"
        found.append((name, made(sentence, rule, verdict, figures, arms, list(rows))))
    for name in ENCODERS:
        rows = {t: row for t, row in table.items() if f"{name}, scratch" in row}
        scratch, after = (
            np.concatenate([row[f"{name}, {way}"] for row in rows.values()]) for way in WAYS
        )
        gain = paired_interval(after, scratch)
        figure = Figure(
            "self-pre-trained minus scratch", gain.mean, gain.low, gain.high, "accuracy"
        )
        title = {"transformer": "A Transformer", "s4d": "S4D", "mamba": "Mamba"}[name]
        sentence = f"{title} is better self-pre-trained than from scratch, at equal compute."
        rule = GAIN_RULE.format(pairs=len(scratch))
        arms = tuple(f"{name}, {way}" for way in WAYS)
        record = made(sentence, rule, verdict_of(gain), (figure,), arms, list(rows))
        found.append((f"claim-gain-{name}", record))
    return found


def judged(scratch: np.ndarray, after: np.ndarray) -> tuple[Verdict, Interval, Interval]:
    """GAP_RULE on the gaps of all pairs: (verdict, gap from scratch, half of it minus the rest)."""
    gap, shrunk = mean_interval(scratch), mean_interval(scratch / 2 - after)
    verdict = verdict_of(shrunk)
    if verdict == "shown" and not gap.low > 0:
        verdict = "inconclusive"
    return verdict, gap, shrunk
