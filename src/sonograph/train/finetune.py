"""Teaching an encoder a labelled task, and measuring what it learned.

train = examples_of(clips.split("train"), "effect", encoder.spec, encoder.config.frames)
result = finetune(encoder, train, None, "runs/effect", Finetune(method="lora"))
"""

from __future__ import annotations

import dataclasses
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
from sonograph.nn.encoder import Encoder
from sonograph.nn.heads import Classifier
from sonograph.progress import Progress, silent
from sonograph.train.adapt import adapt, methods_of, trainable_parameters, within
from sonograph.train.trainer import Objective, TrainConfig, Trainer


@dataclasses.dataclass(frozen=True)
class Finetune(Config):
    """How to teach a task. The learning rate fits a few hundred steps on a few hundred clips."""

    method: str = "full"  # of `registry.methods()`, or several joined by "+"
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the method
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

    def start_at(self, k: int) -> Iterable[dict[str, Tensor]]:
        self.first = k
        return self

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        count, k = len(self.examples), self.first
        while True:
            places = range(k * self.batch, (k + 1) * self.batch)
            rows = torch.tensor([int(self._order(p // count)[p % count]) for p in places])
            picked = self.examples.take(rows)
            yield {
                "features": picked.features,
                "lengths": picked.lengths,
                "targets": picked.targets,
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
    """
    torch.manual_seed(config.train.seed)
    methods = chosen_methods(encoder, config)
    beside = all(one.changes != "encoder" for one in methods)
    kept = weights.base_of(base, encoder) if base and beside else None  # type: ignore[arg-type]
    model = Classifier(encoder, train.classes)
    adapt(model, methods)
    trained = trainable_parameters(model)
    began = time.perf_counter()
    plan = dataclasses.replace(
        config.train,
        no_decay=(*config.train.no_decay, *(name for one in methods for name in one.no_decay)),
    )
    learner: nn.Module = model
    source = train
    teach: Objective = Teach(config, methods)
    if all(one.changes == "head" for one in methods):  # what is frozen answers the same every time
        learner, source, teach = Head(model), pooled(model, train), TeachHead(methods)
    batches = Shuffled(source, config.batch, config.train.seed)
    for stage in range(max(one.stages() for one in methods)):
        for one in methods if stage else ():
            one.begin(model, stage)
        place = Path(folder) / ("training" if stage == 0 else f"training-{stage}")
        summary = Trainer(learner, teach, batches, place, plan, progress=progress).run()
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


def chosen_methods(encoder: Any, config: Finetune) -> tuple[Method, ...]:
    """The methods of a configuration, of the size that its budget asks for."""
    methods = methods_of(config.method, config.settings)
    return within(encoder, methods, config.budget) if config.budget else methods


def mergeable(model: nn.Module) -> bool:
    """Whether all that was inserted can become part of plain weights."""
    parts = [part for part in model.modules() if isinstance(part, Inserted)]
    return all(type(part).merged is not Inserted.merged for part in parts)


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


class TeachHead:
    """Cross-entropy of a head on vectors, and what the methods add to it."""

    def __init__(self, methods: Sequence[Method]):
        self.methods = tuple(methods)

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        logits = model(batch["features"])
        return _parts(logits, model, batch, self.methods)


class Teach:
    """Cross-entropy on features, with a random offset and a shift in time as SSAST adds them."""

    def __init__(self, config: Finetune, methods: Sequence[Method] = ()):
        self.noise, self.roll, self.methods = config.noise, config.roll_frames, tuple(methods)

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        features = batch["features"]
        if self.noise:
            offset = torch.randn(len(features), 1, 1, generator=generator) * self.noise
            features = features + offset.to(features)
        if self.roll:
            shift = int(torch.randint(-self.roll, self.roll + 1, (), generator=generator))
            features = features.roll(shift, dims=2)
        logits = model(features, batch["lengths"])
        return _parts(logits, model, {**batch, "features": features}, self.methods)


def _parts(
    logits: Tensor, model: nn.Module, batch: Mapping[str, Tensor], methods: Sequence[Method]
) -> dict[str, Tensor]:
    loss = cross_entropy(logits.float(), batch["targets"])
    right = (logits.argmax(1) == batch["targets"]).float().mean()
    terms = {name: term for one in methods for name, term in one.penalties(model, batch).items()}
    return {"loss": sum(terms.values(), loss), "accuracy": right, **terms}
