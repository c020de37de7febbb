"""How an encoder is pre-trained with labels: LOOK, supervised contrastive, cross-entropy.

Any encoder preset and any task of labelled clips: the same data, order, views and optimiser for the
three, so that they differ in the loss alone. The claim asks which of them keeps what a coarse label
leaves out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph import registry, weights
from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clip, Clips
from sonograph.data.loader import Batches, Pass
from sonograph.data.named import task_of
from sonograph.metrics.clusters import modes
from sonograph.metrics.intervals import Interval, paired_interval
from sonograph.nn.heads import Classifier
from sonograph.progress import Progress, silent
from sonograph.recipes import pretraining
from sonograph.recipes.arms import spent, verdict_of
from sonograph.recipes.pretraining import card_of, data_of, divided
from sonograph.records import Figure, Record, stamped
from sonograph.systems.adapt import supervised_transfer
from sonograph.systems.adapt.supervised_transfer import LabelledMemory, numbers_of
from sonograph.systems.represent import ssast
from sonograph.train.finetune import Examples, Shuffled, examples_of
from sonograph.train.probe import knn, linear_probe
from sonograph.train.trainer import TrainConfig, Trainer

ObjectiveName = Literal["look", "supcon", "cross-entropy"]
NAMES: dict[str, str] = {
    "look": "LOOK",
    "supcon": "supervised contrastive",
    "cross-entropy": "cross-entropy",
}


@dataclasses.dataclass(frozen=True)
class Recipe(pretraining.Recipe):
    """Pre-training of any encoder on labelled clips."""

    objective: ObjectiveName = "look"
    task: str = ""  # of the clips' labels; the only one, if not given
    draw: Literal["clips", "seconds", "sources"] = "clips"
    noise: float = 0.1  # random offset of the features, in deviations of the front-end
    roll_frames: int = 10  # random shift in time
    model: supervised_transfer.Config = supervised_transfer.Config()
    train: TrainConfig = TrainConfig(
        steps=400,
        lr=1e-3,
        weight_decay=0.01,
        clip_norm=1.0,
        warmup_steps=40,
        eval_every=50,
        save_every=100,
        log_every=20,
    )


def recipe_of(name: str) -> Recipe:
    """The recipe of any encoder preset; the paper's own constants are not known to us."""
    registry.preset(name)
    return Recipe()


class Teach:
    """A step's loss on two altered views of labelled clips; in evaluation on the clips as they are.

    A batch holds waveforms (of `Batches`) or features (of `Shuffled`), targets and ids.
    """

    def __init__(self, spec: FeatureSpec, recipe: Recipe):
        self.frontend, self.noise, self.roll = Frontend(spec), recipe.noise, recipe.roll_frames

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Any], generator: torch.Generator
    ) -> dict[str, Tensor]:
        features, lengths = self.heard(batch)
        targets = batch["targets"].to(features.device)
        view = self.altered(features, generator) if model.training else features
        if isinstance(model, LabelledMemory):
            ids = numbers_of(batch["ids"]).to(features.device)
            other = self.altered(features, generator) if model.training else None
            return model.loss(view, lengths, targets, ids, other)
        logits = model(view, lengths).float()
        right = (logits.argmax(1) == targets).float().mean()
        return {"loss": cross_entropy(logits, targets), "accuracy": right}

    @torch.no_grad()
    def heard(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """(features, lengths in frames)."""
        if "features" in batch:
            return batch["features"], batch["lengths"]
        made = self.frontend(batch["waveform"], batch["lengths"])
        return made.values, made.lengths

    def altered(
        self, features: Float[Tensor, "b rows frames"], generator: torch.Generator
    ) -> Float[Tensor, "b rows frames"]:
        """A random offset of each clip and a shift in time, as SSAST's fine-tuning has them."""
        if self.noise:
            offset = torch.randn(len(features), 1, 1, generator=generator) * self.noise
            features = features + offset.to(features)
        if self.roll:
            shift = int(torch.randint(-self.roll, self.roll + 1, (), generator=generator))
            features = features.roll(shift, dims=2)
        return features


def learner(encoder: Any, labels: tuple[str, ...], recipe: Recipe) -> Any:
    """The encoder within an objective: a classifier, or a memory of labelled keys."""
    if recipe.objective == "cross-entropy":
        return Classifier(encoder, labels)
    config = dataclasses.replace(recipe.model, labels=labels, objective=recipe.objective)
    return LabelledMemory(encoder, config)


def encoder_of(name: str, seed: int) -> Any:
    """The encoder of a preset, untrained."""
    model = registry.build(name, seed=seed)
    return getattr(model, "encoder", model)


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Any:
    """Pre-train a preset's encoder on a task's labels, into a run folder; again it goes on.

    A tenth of the recordings (by group) is held out to measure the loss. Returns the trainer's
    Summary. The folder then loads as a model that tags with these labels; its encoder transfers.
    Raises InputError for clips without the task, or of one class.
    """
    recipe = recipe or recipe_of(name)
    task = task_of(clips, recipe.task)
    clips = clips.labelled(task).filter(lambda clip: clip.duration_s >= recipe.shortest_s)
    model, train, valid = _prepared(name, clips, task, recipe)
    batches = batches_of(train, task, model, recipe, recipe.workers)
    teach = Teach(model.spec, recipe)
    measure = held_out(teach, valid, recipe, task, model)
    summary = Trainer(model, teach, batches, folder, recipe.train, measure, progress).run()
    hours = f"{clips.seconds / 3600:.1f} h"
    words = f"{name}, pre-trained by {NAMES[recipe.objective]} on {task} of {hours} of sound"
    card = card_of(name, model, clips, recipe, summary) | {"summary": words, "task": task}
    weights.describe(Path(folder), model.describe(), card)
    return summary


def _prepared(name: str, clips: Clips, task: str, recipe: Recipe) -> tuple[Any, Clips, Clips]:
    """(model, clips to learn from, clips held out)."""
    train, valid = divided(clips)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        encoder = encoder_of(name, recipe.train.seed)
        model = learner(encoder, tuple(clips.classes(task)), recipe)
    return model, train, valid


def batches_of(clips: Clips, task: str, model: Any, recipe: Recipe, workers: int = 0) -> Batches:
    """Batches to learn from."""
    return Batches(
        clips,
        recipe.batch,
        _crop_s(model, recipe),
        model.spec.rate_hz,
        seed=recipe.train.seed,
        workers=workers,
        draw=recipe.draw,
        task=task,
        classes=model.labels,
    )


def _crop_s(model: Any, recipe: Recipe) -> float:
    return recipe.crop_s or model.spec.samples(model.encoder.config.frames) / model.spec.rate_hz


def by_hash(clips: Clips) -> list[Clip]:
    """Clips in an order by chance that depends on nothing but their ids."""
    return sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())


def held_out(
    teach: Teach, clips: Clips, recipe: Recipe, task: str, model: Any
) -> Callable[[nn.Module], dict[str, float]]:
    """Loss and accuracy on the start of held-out clips, the same whenever it is asked."""
    some = Clips(by_hash(clips)[: recipe.held_out_batches * recipe.batch])
    crop_s, rate_hz = _crop_s(model, recipe), model.spec.rate_hz
    kept = list(Pass(some, recipe.batch, crop_s, rate_hz, task=task, classes=model.labels))

    def evaluate(model: nn.Module) -> dict[str, float]:
        device, sums = next(model.parameters()).device, dict[str, float]()
        for batch in kept:
            there = {
                key: value.to(device) if isinstance(value, Tensor) else value
                for key, value in batch.items()
            }
            parts = teach(model, there, torch.Generator())
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch["ids"]) / len(some)
        return sums

    return evaluate


def fit(
    folder: Path, clips: Clips, steps: int | None = None, progress: Progress = silent
) -> dict[str, float]:
    """A short LOOK training of the demo encoder on the labels that most clips have.

    The loss before is that of the untrained encoder, with its own keys of the same first batches.
    """
    known = {task: count for task, count in clips.tasks().items() if len(clips.classes(task)) > 1}
    task = max(known, key=lambda name: (len(clips.classes(name)) <= 50, known[name], name))
    changes: dict[str, Any] = {"task": task, "train.eval_every": 20, "train.save_every": 5}
    changes["train.log_every"] = 1
    if steps is not None:
        changes |= {"train.steps": steps, "train.warmup_steps": steps // 10}
    recipe = recipe_of(FIT).override(changes)
    before = untrained(FIT, clips, recipe)["loss"]
    summary = pretrain(FIT, clips, folder, recipe, progress)
    return {
        "loss_before": before,
        "loss_after": summary.best["loss"],
        "steps": summary.steps,
        "clips_per_s": summary.clips_per_s,
    }


FIT = "ssast-demo"


def untrained(name: str, clips: Clips, recipe: Recipe) -> dict[str, float]:
    """The held-out loss before any update, with as many keys of the clips to learn from."""
    clips = clips.labelled(recipe.task).filter(lambda clip: clip.duration_s >= recipe.shortest_s)
    model, train, valid = _prepared(name, clips, recipe.task, recipe)
    teach = Teach(model.spec, recipe)
    model.eval()
    if isinstance(model, LabelledMemory):
        batches, draw = batches_of(train, recipe.task, model, recipe), torch.Generator()
        for k in range(min(recipe.train.steps, -(-recipe.model.memory // recipe.batch))):
            batch = batches.batch(k)
            features, lengths = teach.heard(batch)
            features = teach.altered(features, draw.manual_seed(k))
            model.remember(features, lengths, batch["targets"], numbers_of(batch["ids"]))
    with torch.no_grad():
        return held_out(teach, valid, recipe, recipe.task, model)(model)


# --- the claim -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Nested:
    """Labels made coarse on purpose: fine ones that each lie within one coarse one."""

    name: str
    corpora: tuple[str, ...]
    words: str
    fine: Callable[[Clip], str]  # "" where a clip has none
    coarse: Callable[[str], str]  # of a fine label; "" where it has none
    most: int = 24  # clips of a fine label
    fewest: int = 12


MANNERS = {  # of the first sound of a Mandarin syllable, in Zhuyin
    "stop": "ㄅㄆㄉㄊㄍㄎ",
    "affricate": "ㄐㄑㄓㄔㄗㄘ",
    "fricative": "ㄈㄏㄒㄕㄙㄖ",
    "sonorant": "ㄇㄋㄌㄧㄨㄩ",
}
KINDS = {
    "creature": ("aliens", "soldiers", "civilians"),
    "hands and feet": ("footsteps", "digging", "doors"),
    "blow": ("weapons", "impact"),
    "scene": ("ambience", "geoscape"),
}


def _announcement(clip: Clip) -> str:
    if not {"language", "prompt"} <= clip.labels.keys():
        return ""
    return f"{clip.labels['language']}: {clip.labels['prompt']}"


def _initial(clip: Clip) -> str:
    return clip.labels.get("syllable", "")[:1]


def _group_of(groups: Mapping[str, Any]) -> Callable[[str], str]:
    return lambda fine: next((name for name, inside in groups.items() if fine in inside), "")


NESTED = (
    Nested(
        "announcements",
        ("asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru"),
        "learned: which of five languages; asked: which kind of announcement in which language",
        _announcement,
        lambda fine: fine.partition(":")[0],
    ),
    Nested(
        "syllables",
        ("gcin",),
        "learned: the manner of a syllable's first sound; asked: which sound it is",
        _initial,
        _group_of(MANNERS),
    ),
    Nested(
        "effects",
        ("ufoai", "minetest"),
        "learned: one of four groups of sound effects; asked: which of ten kinds",
        lambda clip: clip.labels.get("effect", ""),
        _group_of(KINDS),
        most=40,
    ),
)


def nested_clips(task: Nested, clips: Clips) -> Clips:
    """The clips of a task with labels "coarse" and "fine", the fine ones about equally often.

    Raises InputError where the corpora are not there.
    """
    found: dict[str, list[Clip]] = {}
    for clip in by_hash(clips.filter(lambda clip: clip.source in task.corpora)):
        fine = task.fine(clip) if clip.duration_s >= 0.1 else ""
        if fine and (coarse := task.coarse(fine)):
            labels = {"coarse": coarse, "fine": fine}
            found.setdefault(fine, []).append(dataclasses.replace(clip, labels=labels))
    kept = [
        clip for rows in found.values() if len(rows) >= task.fewest for clip in rows[: task.most]
    ]
    return Clips(sorted(kept, key=lambda clip: clip.id))


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run.

    Compute is counted in passes: a forward is 1, a backward 2. An update costs 3 a clip by
    cross-entropy, 4 with a slow encoder, 6 by SSAST's joint objective, which makes two passes.
    """

    preset: str
    updates: int  # of LOOK and of supervised contrastive; the others as many as cost the same
    batch: int = 32
    lr: float = 1e-3
    memory: int = 512
    k: tuple[int, ...] = (5, 20, 80)
    judged: int = 20  # the k that the rule is about
    neighbours: int = 5  # of the probe by neighbours
    seeds: int = 3

    def updates_of(self, arm: str) -> int:
        cost = {"cross-entropy": 3, "self-supervised": 6}.get(arm, 4)
        return self.updates * 4 // cost

    @property
    def arms(self) -> tuple[str, ...]:
        looks = (f"look, k = {k}" for k in self.k)
        return ("cross-entropy", "supcon", *looks, "self-supervised")


SCALES = {
    "cpu": Scale("ssast-test", updates=120),
    "gpu": Scale("ssast-small", updates=6000, batch=128, memory=4096, k=(20, 80, 320), judged=80),
}
PENALTY = 0.1  # of the linear probe, the same for all arms
RULE = (
    "The 95 % Student's t interval of the difference in accuracy of a linear probe for the fine "
    "labels ({a} minus {b}), paired by task and seed over {pairs} pairs, lies above 0: shown; "
    "below 0: not shown; else inconclusive. k was chosen before the run; every arm learns from the "
    "coarse labels of the same clips (self-supervised: from the clips alone) with equal passes "
    "through the network; seed s is measured on fold s, whose recordings no arm has heard; the "
    "encoder is frozen and the probe learns from the fine labels of the training folds."
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """What is left of fine labels after learning coarse ones: LOOK against the other objectives.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    clips = corpora.open_sets(["core"], data_folder)
    by_task: dict[str, dict[str, Any]] = {}
    for task in NESTED:
        mine = nested_clips(task, clips)
        config: Any = registry.preset(plan.preset).make()
        examples = examples_of(mine, "fine", config.features, config.frames)
        coarse = [clip.labels["coarse"] for clip in mine]
        row: dict[str, Any] = {
            "clips": len(mine),
            "coarse": sorted(set(coarse)),
            "fine": list(examples.classes),
            "majority": float(np.bincount(examples.targets.numpy()).max() / len(examples)),
        }
        folds = mine.folds("fine", plan.seeds)
        for arm in plan.arms:
            found = [
                _one(task, arm, seed, plan, examples, coarse, folds[seed], folder, progress)
                for seed in range(plan.seeds)
            ]
            row[arm] = {name: [one[name] for one in found] for name in found[0]}
        by_task[task.name] = row
    seconds = spent(folder, time.perf_counter() - began)
    look = f"look, k = {plan.judged}"
    records = []
    for other, file in OPPONENTS.items():
        record = _record(look, other, by_task, plan, clips)
        name = f"claim{file}-gpu" if scale == "gpu" else f"claim{file}"
        records.append((name, stamped(record, seconds)))
    return records


OPPONENTS = {
    "cross-entropy": "",
    "supcon": "-supcon",
    "self-supervised": "-self-supervised",
}


def _one(
    task: Nested,
    arm: str,
    seed: int,
    plan: Scale,
    examples: Examples,
    coarse: list[str],
    fold: tuple[Clips, Clips],
    folder: Path,
    progress: Callable[[str], Progress],
) -> dict[str, float]:
    """One encoder taught on one fold: what probes find in it, and how many modes a class has."""
    place = folder / task.name / arm.replace(", k = ", "") / f"seed{seed}"
    if (kept := place / "measured.json").is_file():
        return weights.read_json(kept)
    row = {one: number for number, one in enumerate(examples.ids)}
    train, test = ([row[clip.id] for clip in part] for part in fold)
    names = tuple(sorted(set(coarse)))
    targets = torch.tensor([names.index(label) for label in coarse])
    known = dataclasses.replace(examples, targets=targets, classes=names).take(train)
    encoder = _taught(arm, seed, plan, known, place, progress(f"{task.name}: {arm}, seed {seed}"))
    vectors, fine = _vectors(encoder, examples), examples.targets
    args = (vectors[train], fine[train], vectors[test], fine[test])
    counted = [
        modes(vectors[train][known.targets == label], tries=1) for label in range(len(names))
    ]
    coarse_args = (vectors[train], targets[train], vectors[test], targets[test])
    found = {
        "linear": linear_probe(*args, penalties=(PENALTY,)).accuracy,
        "knn": knn(*args, k=plan.neighbours),
        "coarse knn": knn(*coarse_args, k=plan.neighbours),
        "modes": float(np.mean([count for count, _ in counted])),
        "silhouette": float(np.mean([value for _, value in counted])),
    }
    weights.write_json(kept, found)
    return found


def _taught(
    arm: str, seed: int, plan: Scale, known: Examples, place: Path, progress: Progress
) -> Any:
    """An encoder taught the coarse labels of examples by an arm's objective."""
    steps = plan.updates_of(arm)
    objective: Any = "look" if arm.startswith("look") else arm
    k = int(arm.rpartition(" ")[2]) if objective == "look" else plan.judged
    train = TrainConfig(
        steps=steps, lr=plan.lr, weight_decay=0.01, clip_norm=1.0, warmup_steps=steps // 10,
        seed=seed, save_every=0,
    )  # fmt: skip
    encoder = encoder_of(plan.preset, seed)
    batches = Shuffled(known, plan.batch, seed)
    torch.manual_seed(seed)
    if objective == "self-supervised":
        Trainer(
            ssast.Pretraining(encoder), _unlabelled, batches, place, train, progress=progress
        ).run()
        return encoder.eval()
    sizes = supervised_transfer.Config(
        k=k, memory=plan.memory, k_warmup=steps // 3, labels=known.classes
    )
    recipe = Recipe(objective=objective, batch=plan.batch, train=train, model=sizes)
    model = learner(encoder, known.classes, recipe)
    teach = Teach(encoder.spec, recipe)
    Trainer(model, teach, batches, place, train, progress=progress).run()
    return encoder.eval()


def _unlabelled(
    model: nn.Module, batch: Mapping[str, Any], generator: torch.Generator
) -> dict[str, Tensor]:
    return model(batch["features"], batch["lengths"], generator)


@torch.inference_mode()
def _vectors(encoder: Any, examples: Examples, batch: int = 64) -> Float[Tensor, "n d"]:
    """The pooled tokens of each example."""
    parts = [
        encoder(examples.features[i : i + batch], examples.lengths[i : i + batch]).pool()
        for i in range(0, len(examples), batch)
    ]
    return torch.cat(parts).clone()


def _record(
    a: str, b: str, by_task: dict[str, dict[str, Any]], plan: Scale, clips: Clips
) -> Record:
    """LOOK against one other objective."""

    def gain_in(measure: str) -> Interval:
        first, second = (
            [value for row in by_task.values() for value in row[arm][measure]] for arm in (a, b)
        )
        return paired_interval(first, second)

    gain, near = gain_in("linear"), gain_in("knn")
    pairs = len(by_task) * plan.seeds
    figures = [
        Figure(f"{a} minus {b}, linear probe", gain.mean, gain.low, gain.high, "accuracy"),
        Figure(f"{a} minus {b}, nearest neighbours", near.mean, near.low, near.high, "accuracy"),
    ]
    for task, row in by_task.items():
        for arm in plan.arms if b == "cross-entropy" else (a, b):
            mean = {name: float(np.mean(values)) for name, values in row[arm].items()}
            figures += [
                Figure(f"{task}, {arm}, linear probe", mean["linear"], unit="accuracy"),
                Figure(f"{task}, {arm}, nearest neighbours", mean["knn"], unit="accuracy"),
                Figure(f"{task}, {arm}, modes of a class", mean["modes"]),
            ]
    words = {"self-supervised": "SSAST's self-supervised objective", "supcon": NAMES["supcon"]}
    heard = [row["source"] for row in data_of(clips)]
    used = {name for task in NESTED for name in task.corpora}
    return Record(
        system="supervised_transfer",
        kind="claim",
        sentence="Pre-trained on coarse labels, an encoder keeps more of the fine labels inside "
        f"them by LOOK than by {words.get(b, b)}.",
        rule=RULE.format(a=a, b=b, pairs=pairs),
        verdict=verdict_of(gain),
        measured=tuple(figures),
        arms=plan.arms if b == "cross-entropy" else (a, b),
        data=tuple(name for name in heard if name in used),
        seeds=tuple(range(plan.seeds)),
        details={
            "scale": plan.to_dict(),
            "updates": {arm: plan.updates_of(arm) for arm in plan.arms},
            "questions": {task.name: task.words for task in NESTED},
            "tasks": by_task,
        },
    )
