"""Teaching an encoder a labelled task, and measuring what it learned.

train = examples_of(clips.split("train"), "effect", encoder.spec, encoder.config.frames)
result = finetune(encoder, train, None, "runs/effect", Finetune(method="lora"))
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph import weights
from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.loader import Pass
from sonograph.errors import InputError
from sonograph.nn.adaptation import Inserted, Method, merge
from sonograph.nn.encoder import Encoder, Pooling
from sonograph.nn.heads import Classifier, HeadKind
from sonograph.progress import Progress, silent
from sonograph.train.adapt import adapt, methods_of, trainable_parameters, within
from sonograph.train.trainer import Objective, TrainConfig, Trainer


@dataclasses.dataclass(frozen=True)
class Finetune(Config):
    """How to teach a task. The learning rate fits a few hundred steps on a few hundred clips."""

    method: str = "full"  # of `registry.methods()`, or several joined by "+"
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the method
    pool: Pooling = "tokens"  # how tokens become the vector that the head reads
    head: HeadKind = "normed"
    budget: str = ""  # of trained numbers, such as "0.3%": the method's size follows from it
    batch: int = 32
    noise: float = 0.1  # random gain of the features, in deviations of the front-end
    roll_frames: int = 10  # random shift in time; SSAST's fine-tuning, official code
    train: TrainConfig = TrainConfig(
        steps=300, lr=1e-3, warmup_steps=30, weight_decay=0.01, clip_norm=1.0, save_every=0
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """The clips of a task as features in memory, cut or padded to one length.

    features: (n, bins, frames); lengths: (n,) frames; targets: (n,) indices into `classes`.
    """

    features: Float[Tensor, "n bins frames"]
    lengths: Int[Tensor, "n"]
    targets: Int[Tensor, "n"]
    classes: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: Sequence[int] | Tensor) -> Examples:
        """Some of the examples."""
        index = torch.as_tensor(rows, dtype=torch.long)
        ids = tuple(self.ids[i] for i in index.tolist())
        return Examples(
            self.features[index], self.lengths[index], self.targets[index], self.classes, ids
        )


def frames_of(clips: Clips, encoder: Any) -> int:
    """How many frames of each clip to look at: of the longest, as far as the encoder reaches."""
    spec = encoder.spec
    longest = max((clip.duration_s for clip in clips), default=0.0)
    samples = max(int(longest * spec.rate_hz) + 1, spec.samples(1))
    return min(encoder.config.frames, spec.frames(samples))


def examples_of(
    clips: Clips,
    task: str,
    spec: FeatureSpec,
    frames: int,
    classes: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Examples:
    """Read the labelled clips of a task: their first `frames` frames.

    Raises InputError for a class that is not among `classes`: a label seen only in the test.
    """
    known = tuple(classes or clips.labelled(task).classes(task))
    if len(known) < 2:
        raise InputError(f"task {task!r} has {len(known)} class: two are the least to tell apart")
    crop_s, least = spec.samples(frames) / spec.rate_hz, spec.samples(1)
    frontend = Frontend(spec)
    batches = Pass(clips, 32, crop_s, spec.rate_hz, task=task, classes=known)
    values, lengths, targets, ids = [], [], [], []
    for number, batch in enumerate(batches):
        waveform, samples = batch["waveform"], batch["lengths"].clamp(min=least)
        waveform = nn.functional.pad(waveform, (0, max(0, spec.samples(frames) - len(waveform[0]))))
        with torch.no_grad():
            made = frontend(waveform, samples)
        values.append(made.values[:, :, :frames])
        lengths.append(made.lengths.clamp(max=frames))
        targets.append(batch["targets"])
        ids += batch["ids"]
        progress(number + 1, len(batches))
    return Examples(torch.cat(values), torch.cat(lengths), torch.cat(targets), known, tuple(ids))


class Shuffled:
    """Endless batches of examples; batch k is a pure function of (seed, k)."""

    def __init__(self, examples: Examples, batch: int, seed: int):
        if len(examples) == 0:
            raise InputError("there are no labelled clips to train on")
        self.examples, self.batch, self.seed, self.first = examples, batch, seed, 0

    def start_at(self, k: int) -> Iterable[dict[str, Any]]:
        self.first = k
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        count, k = len(self.examples), self.first
        while True:
            places = range(k * self.batch, (k + 1) * self.batch)
            rows = torch.tensor([int(self._order(p // count)[p % count]) for p in places])
            picked = self.examples.take(rows)
            yield {
                "features": picked.features,
                "lengths": picked.lengths,
                "targets": picked.targets,
                "ids": picked.ids,
            }
            k += 1

    def _order(self, epoch: int) -> np.ndarray:
        if getattr(self, "_known", (-1, None))[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.examples))
            self._known = (epoch, order)
        return self._known[1]


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What a classifier answered for examples it was not taught."""

    accuracy: float
    predicted: Int[Tensor, "n"]
    scores: Float[Tensor, "n classes"]
    confusion: Int[np.ndarray, "classes classes"]


@torch.inference_mode()
def measure(model: Any, examples: Examples, batch: int = 64) -> Measured:
    """Accuracy, scores and confusion (rows: true class) on examples."""
    model.eval()
    parts = [
        model.scores(model(examples.features[i : i + batch], examples.lengths[i : i + batch]))
        for i in range(0, len(examples), batch)
    ]
    scores = torch.cat(parts).float()
    predicted, size = scores.argmax(1), len(examples.classes)
    pairs = examples.targets * size + predicted
    confusion = torch.bincount(pairs, minlength=size * size).reshape(size, size)
    accuracy = float((predicted == examples.targets).float().mean())
    return Measured(accuracy, predicted, scores, confusion.numpy())


@dataclasses.dataclass(frozen=True, eq=False)
class Finetuned:
    """A taught model and what it cost."""

    model: Classifier
    measured: Measured | None
    seconds: float
    trained_parameters: int
    total_parameters: int


def finetune(
    encoder: Encoder,
    train: Examples,
    test: Examples | None,
    folder: str | Path,
    config: Finetune,
    card: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    base: str | None = None,
) -> Finetuned:
    """Put a head on an encoder, teach it, measure it, and leave a folder that loads like any model.

    The encoder is changed in place; give a copy to keep it. Started again on the same folder it
    goes on, or returns what is there.

    base: the name under which the encoder can be loaded again. With it the folder holds only what
    was learned beside the encoder, where the method leaves the encoder as it is; without it, or
    where the encoder itself learned, the whole model, into which is merged what can be.

    With `config.train.eval_every` the accuracy on `test` is logged so often, for a forecast; it
    chooses nothing.
    """
    torch.manual_seed(config.train.seed)
    methods = chosen_methods(encoder, config)
    beside = all(one.changes != "encoder" for one in methods)
    kept = weights.base_of(base, encoder) if base and beside else None  # type: ignore[arg-type]
    model = Classifier(encoder, train.classes, config.pool, head=config.head)
    adapt(model, methods)
    trained = trainable_parameters(model)
    began = time.perf_counter()
    plan = dataclasses.replace(
        config.train,
        no_decay=(*config.train.no_decay, *(name for one in methods for name in one.no_decay)),
    )
    learner: nn.Module = model
    source = train
    teach: Objective = Teach(config)
    if all(one.changes == "head" for one in methods):  # what is frozen answers the same every time
        learner, source, teach = Head(model), _vectors(model, train, methods, config), teach_head
    for one in methods:
        teach = one.objective(teach)
    batches = Shuffled(source, config.batch, config.train.seed)
    watch = None
    if test is not None and plan.eval_every:
        watch = Watch(test if learner is model else pooled(model, test))
    for stage in range(max(one.stages() for one in methods)):
        for one in methods if stage else ():
            one.begin(model, stage)
        place = Path(folder) / ("training" if stage == 0 else f"training-{stage}")
        trainer = Trainer(learner, teach, batches, place, plan, watch, progress, best=None)
        summary = trainer.run()
    if not kept and mergeable(model):
        merge(model)
    measured = None if test is None else measure(model, test)
    told: dict[str, Any] = {
        "name": Path(folder).name,
        "method": config.method,
        "steps": summary.steps,
        "trained_parameters": trained,
        "finetune": config.to_dict(),
        **(card or {}),
    }
    if measured is not None and test is not None:
        told |= {"test_clips": len(test), "test_accuracy": measured.accuracy}
    total = sum(p.numel() for p in model.parameters())
    if kept or any(isinstance(part, Inserted) for part in model.modules()):
        weights.save_adapted(folder, model, told, kept)
    else:
        weights.save_folder(folder, model, told)
    return Finetuned(model, measured, time.perf_counter() - began, trained, total)


def configured(method: str, pool: Pooling, steps: int, clips: int, seed: int = 0) -> Finetune:
    """A configuration for few clips: the method's own rate, a warm-up of a tenth of the steps at
    most, and no batch larger than all there is.
    """
    usual = Finetune()
    return Finetune(method=method, pool=pool).override(
        {
            "train.steps": steps,
            "train.warmup_steps": min(usual.train.warmup_steps, steps // 10),
            "train.lr": min(one.lr for one in methods_of(method)),
            "train.seed": seed,
            "batch": min(usual.batch, clips),
        }
    )


def chosen_methods(encoder: Any, config: Finetune) -> tuple[Method, ...]:
    """The methods of a configuration, of the size that its budget asks for."""
    methods = methods_of(config.method, config.settings)
    return within(encoder, methods, config.budget) if config.budget else methods


def mergeable(model: nn.Module) -> bool:
    """Whether all that was inserted can become part of plain weights."""
    parts = [part for part in model.modules() if isinstance(part, Inserted)]
    return all(type(part).merged is not Inserted.merged for part in parts)


def _vectors(
    model: Classifier, train: Examples, methods: Sequence[Method], config: Finetune
) -> Examples:
    """The vectors that a head learns from; with a disturbed second view where one is wanted."""
    plain = pooled(model, train)
    if all(one.views == 1 for one in methods):
        return plain
    generator = torch.Generator().manual_seed(config.train.seed)
    disturb = Teach(config).disturbed
    parts = [disturb(part, generator) for part in train.features.split(16)]
    other = pooled(model, dataclasses.replace(train, features=torch.cat(parts)))
    return dataclasses.replace(plain, features=torch.stack([plain.features, other.features], 1))


class Head(nn.Module):
    """The head of a classifier alone, on vectors that its encoder made before."""

    def __init__(self, model: Classifier):
        super().__init__()
        self.head = model.head

    def forward(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        return self.head(pooled)


@torch.no_grad()
def pooled(model: Classifier, examples: Examples, batch: int = 64) -> Examples:
    """The same examples with their pooled vectors (n, width) in place of features."""
    model.eval()
    vectors = [
        model.encoder(examples.features[i : i + batch], examples.lengths[i : i + batch]).pool(
            model.pool
        )
        for i in range(0, len(examples), batch)
    ]
    return dataclasses.replace(examples, features=torch.cat(vectors))


class Watch:
    """Accuracy and cross-entropy on clips that are not learned from, for the log."""

    def __init__(self, examples: Examples, batch: int = 64):
        self.examples, self.batch = examples, batch

    def __call__(self, model: nn.Module) -> dict[str, float]:
        examples, sums = self.examples, {"loss": 0.0, "accuracy": 0.0}
        for first in range(0, len(examples), self.batch):
            part = slice(first, first + self.batch)
            inputs = [examples.features[part]]
            if not isinstance(model, Head):
                inputs.append(examples.lengths[part])
            logits, targets = model(*inputs).float(), examples.targets[part]
            sums["loss"] += float(cross_entropy(logits, targets, reduction="sum"))
            sums["accuracy"] += float((logits.argmax(1) == targets).sum())
        return {name: value / len(examples) for name, value in sums.items()}


EVALUATIONS, SHARE = 20, 0.1  # at most so many, and at most so much of the training's time


def watching(steps: int, batch: int, held_out: int) -> int:
    """Steps between looks at the held-out clips, so that the log can be forecast; 0: too costly.

    A look costs a forward pass a clip, a third of what a clip costs in training.

    >>> watching(300, 32, 60), watching(300, 32, 700), watching(100, 32, 5000)
    (15, 73, 0)
    """
    every = max(1, steps // EVALUATIONS, math.ceil(held_out / (3 * batch * SHARE)))
    return every if held_out and every < steps else 0


def teach_head(
    model: nn.Module, batch: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Cross-entropy of a head on vectors (n, d), or on several views of each (n, views, d)."""
    vectors, targets = batch["features"], batch["targets"]
    if vectors.ndim == 3:
        targets = targets.repeat(vectors.shape[1])
        vectors = vectors.transpose(0, 1).flatten(0, 1)
    return _answers(model(vectors), targets)


class Teach:
    """Cross-entropy on features, with a random offset and a shift in time as SSAST adds them."""

    def __init__(self, config: Finetune):
        self.noise, self.roll = config.noise, config.roll_frames

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        features = self.disturbed(batch["features"], generator)
        return _answers(model(features, batch["lengths"]), batch["targets"])

    def disturbed(
        self, features: Float[Tensor, "b bins frames"], generator: torch.Generator
    ) -> Float[Tensor, "b bins frames"]:
        """One offset a clip, one shift a batch."""
        if self.noise:
            offset = torch.randn(len(features), 1, 1, generator=generator) * self.noise
            features = features + offset.to(features)
        if self.roll:
            shift = int(torch.randint(-self.roll, self.roll + 1, (), generator=generator))
            features = features.roll(shift, dims=2)
        return features


def _answers(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    right = (logits.argmax(1) == targets).float().mean()
    return {"loss": cross_entropy(logits.float(), targets), "accuracy": right}
