"""The demo: pre-train on sound without labels, adapt to three labelled tasks, show what came of it.

Everything is real and small: a third of a million to a million weights, an hour of sound, ten
minutes on two cores. The same pieces at full size are `sonograph train`, `adapt` and `claim`.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonograph import __version__, weights
from sonograph.audio.feature_spec import Frontend
from sonograph.data import corpora
from sonograph.data.clips import Clip, Clips
from sonograph.data.loader import Batches
from sonograph.errors import InputError
from sonograph.infer.embed import Moments
from sonograph.metrics.intervals import mean_interval
from sonograph.nn.hiding import Hiding
from sonograph.nn.patches import unpatchify
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import (
    CORE_QUESTIONS,
    EFFECT,
    INSTRUMENT,
    PROMPT,
    Outcome,
    Task,
    Way,
    learn,
    open_task,
)
from sonograph.recipes.pretraining import Objective, data_of
from sonograph.recipes.represent.ssast import Recipe, pretrain, recipe_of
from sonograph.registry import build
from sonograph.report import content
from sonograph.report.page import write_report
from sonograph.report.picture import bin_centres_hz
from sonograph.systems.represent import ssast
from sonograph.train.finetune import Finetune
from sonograph.train.log import read_log

PRESET = "ssast-demo"
MINI_EFFECT = dataclasses.replace(EFFECT, corpora=("minetest",), fewest=4)
QUESTIONS = {"mini": (MINI_EFFECT, INSTRUMENT, PROMPT), "core": CORE_QUESTIONS}
ARMS = {
    "scratch": "a random start, and as many updates as pre-training and adapting took",
    "linear": "the pre-trained encoder frozen, one linear layer learns",
    "low-rank": "a low-rank change of the attention layers, and the head",
    "full": "every weight of the pre-trained encoder goes on learning",
}
BATCH = 16  # of adaptation


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one demo does; kept in its folder, so that a second run goes on with the same."""

    data: str
    pretrain_updates: int
    adapt_updates: int
    seeds: int

    @property
    def extra_updates(self) -> int:
        """A scratch arm's share of pre-training: two passes an update, over all adaptations."""
        passes = 2 * self.pretrain_updates * recipe_of(PRESET).batch
        return round(passes / BATCH / (self.seeds * len(QUESTIONS[self.data])))


@dataclasses.dataclass(frozen=True, eq=False)
class Demo:
    """What came of it."""

    plan: Plan
    folder: Path
    report: Path
    outcomes: dict[str, tuple[Task, list[Outcome]]]
    stages: list[tuple[str, float]]
    peak_memory_bytes: int


def run(
    data: str,
    folder: Path,
    data_folder: Path,
    minutes: float = 3.0,
    seeds: int = 3,
    updates: int = 60,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> Demo:
    """Pre-train, adapt, measure, write the report. Started again it goes on where it was.

    minutes: of pre-training, from which the number of updates follows by a short measurement.
    """
    clock = Stages()
    clips = corpora.open_sets([data], data_folder)
    recipe = recipe_of(PRESET).override({"workers": 1})
    plan = _plan(folder / "plan.json", data, clips, recipe, minutes, seeds, updates)
    clock.done("measuring this machine")

    settings = {
        "train.steps": plan.pretrain_updates,
        "train.warmup_steps": 40,
        "train.log_every": 10,
    }
    settings["train.eval_every"] = max(1, plan.pretrain_updates // 8)
    recipe = recipe.override(settings)
    pretrain(PRESET, clips, folder / "encoder", recipe, progress("pre-training"))
    clock.done("pre-training")
    pretrained: Any = weights.load_folder(folder / "encoder")

    config = pretrained.encoder.config
    outcomes: dict[str, tuple[Task, list[Outcome]]] = {}
    for question in QUESTIONS[data]:
        task = open_task(question, clips, config.features, config.frames, seeds)
        clock.done("reading labelled clips")
        results = []
        for way in ways(plan, pretrained.encoder):
            place = folder / question.name / way.name
            title = f"{question.name}: {way.name}"
            results.append(learn(task, way, range(seeds), place, progress(title)))
            clock.done(f"adapting: {way.name}")
        outcomes[question.name] = (task, results)

    demo = Demo(plan, folder, folder / "report.html", outcomes, clock.stages, peak_memory())
    picture = _report(demo, clips, pretrained)
    clock.done("drawing the report")
    costs = dataclasses.replace(_costs(demo), stages=tuple(clock.stages))
    write_report(demo.report, dataclasses.replace(picture, costs=costs))
    weights.write_json(folder / "results.json", to_json(demo))
    return demo


def ways(plan: Plan, encoder: ssast.SSAST) -> list[Way]:
    """The four arms."""

    def taught(method: str, lr: float) -> Finetune:
        return Finetune().override(
            {
                "method": method,
                "batch": BATCH,
                "train.steps": plan.adapt_updates,
                "train.lr": lr,
                "train.warmup_steps": plan.adapt_updates // 10,
                "train.log_every": max(1, plan.adapt_updates // 20),
            }
        )

    def pretrained(seed: int) -> ssast.SSAST:
        return encoder

    return [
        Way(
            "scratch",
            ARMS["scratch"],
            lambda seed: build(PRESET, seed=seed),
            taught("full", 1e-3),
            plan.extra_updates,
        ),
        Way(
            "linear",
            ARMS["linear"],
            pretrained,
            taught("linear", 1e-2).override({"train.steps": 10 * plan.adapt_updates}),
        ),
        Way("low-rank", ARMS["low-rank"], pretrained, taught("lora", 3e-3)),
        Way("full", ARMS["full"], pretrained, taught("full", 1e-3)),
    ]


def _plan(
    path: Path,
    data: str,
    clips: Clips,
    recipe: Recipe,
    minutes: float,
    seeds: int,
    updates: int,
) -> Plan:
    if path.is_file():
        plan = Plan(**weights.read_json(path))
        if (plan.data, plan.seeds, plan.adapt_updates) != (data, seeds, updates):
            raise InputError(
                f"{path.parent} holds a demo with other settings ({plan.data}, {plan.seeds} seeds, "
                f"{plan.adapt_updates} updates): choose another --folder, or delete it"
            )
        return plan
    per_update = seconds_per_update(clips, recipe)
    plan = Plan(data, max(20, round(60 * minutes / per_update)), updates, seeds)
    weights.write_json(path, dataclasses.asdict(plan))
    return plan


def seconds_per_update(clips: Clips, recipe: Recipe, count: int = 6) -> float:
    """How long one update of pre-training takes here: the median of a few."""
    model = ssast.Pretraining(build(PRESET))
    spec = model.spec
    crop_s = spec.samples(model.encoder.config.frames) / spec.rate_hz
    batch = Batches(clips, recipe.batch, crop_s, spec.rate_hz, draw=recipe.draw).batch(0)
    batch["lengths"] = batch["lengths"].clamp(min=spec.samples(1))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    objective, taken = Objective(model, {"objective": recipe.objective}), []
    for number in range(count):
        began = time.perf_counter()
        objective(model, batch, torch.Generator().manual_seed(number))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[1:]))


class Stages:
    """Where the time went."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, float]] = []
        self.last = time.perf_counter()

    def done(self, name: str) -> None:
        now = time.perf_counter()
        spent, self.last = now - self.last, now
        for index, (known, seconds) in enumerate(self.stages):
            if known == name:
                self.stages[index] = (name, seconds + spent)
                return
        self.stages.append((name, spent))


def peak_memory() -> int:
    """Bytes this process and its workers held at most."""
    import resource

    scale = 1 if platform.system() == "Darwin" else 1024
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) * scale


def to_json(demo: Demo) -> dict[str, Any]:
    """The table in plain values."""
    tasks = {}
    for name, (task, outcomes) in demo.outcomes.items():
        tasks[name] = {
            "question": task.question.words,
            "clips": len(task.examples),
            "classes": list(task.examples.classes),
            "majority": task.majority,
            "arms": {
                outcome.way.name: {
                    "accuracies": outcome.accuracies,
                    "mean": float(np.mean(outcome.accuracies)),
                    "trained_parameters": outcome.trained_parameters,
                    "updates": outcome.way.config.train.steps + outcome.way.extra_updates,
                    "seconds": round(outcome.seconds, 2),
                    "folders": [str(folder) for folder in outcome.folders],
                }
                for outcome in outcomes
            },
        }
    return {
        "plan": dataclasses.asdict(demo.plan),
        "tasks": tasks,
        "seconds": {name: round(seconds, 1) for name, seconds in demo.stages},
        "peak_memory_bytes": demo.peak_memory_bytes,
        "report": str(demo.report),
    }


# --- the report --------------------------------------------------------------------------------


def _report(demo: Demo, clips: Clips, pretrained: ssast.Pretraining) -> content.Report:
    first, (task, _) = next(iter(demo.outcomes.items()))
    config = pretrained.encoder.config
    size = sum(p.numel() for p in pretrained.encoder.parameters())
    place = demo.folder / first / "full" / "seed0"
    sound = task.clips[0].path
    hours = clips.seconds / 3600
    log = read_log(demo.folder / "encoder" / "log.jsonl")
    return content.Report(
        title="What a small model learned from sound",
        about=(
            f"An SSAST encoder of {size / 1e6:.2f} million weights listened to {hours:.1f} hours "
            "of sound without labels, then learned three tasks in four ways, each on three "
            "different splits of the labelled clips."
        ),
        made=f"{datetime.now():%Y-%m-%d %H:%M}, sonograph {__version__}",
        facts=(
            (f"{hours:.1f} h", "of unlabelled sound"),
            (f"{demo.plan.pretrain_updates:,}", "updates of pre-training"),
            (f"{sum(len(t.examples) for t, _ in demo.outcomes.values()):,}", "labelled clips"),
            (f"{size / 1e6:.2f} M", "weights"),
        ),
        examples=_examples(demo, pretrained),
        tasks=[_task_result(task, outcomes) for task, outcomes in demo.outcomes.values()],
        embedding_map=_map(demo, pretrained.encoder),
        pretraining=_curves(
            "Pre-training", "Which patch belongs into each gap, and painting it.", log
        ),
        adaptation=[
            _curves(
                f"{name}, full",
                "Loss and accuracy on the training clips of one split.",
                read_log(demo.folder / name / "full" / "seed0" / "training" / "log.jsonl"),
            )
            for name in demo.outcomes
        ],
        next_steps=(
            content.Command("Say what is heard", f"sonograph tag {sound} --model {place}"),
            content.Command(
                "Turn sounds into vectors",
                f"sonograph embed FOLDER -o vectors.npz --model {demo.folder / 'encoder'}",
            ),
            content.Command(
                "Find similar sounds",
                f"sonograph search {sound} FOLDER --model {demo.folder / 'encoder'}",
            ),
        ),
        licences=[
            content.Licence(
                row["source"], row["licence"], f"{row['minutes']} min", "Debian or PyPI"
            )
            for row in data_of(clips)
        ],
        limits=(
            f"Clips are heard for {config.frames / config.features.frame_rate_hz:.1f} s at most.",
            "Three splits give wide intervals; `sonograph claim ssast` measures it more strictly.",
            "Nine tenths of the recordings were heard in pre-training, test clips among them, "
            "without their labels.",
        ),
    )


def _task_result(task: Task, outcomes: Sequence[Outcome]) -> content.TaskResult:
    arms = []
    for outcome in outcomes:
        interval = mean_interval(outcome.accuracies)
        arms.append(
            content.Arm(
                outcome.way.name,
                outcome.way.words,
                outcome.accuracies,
                interval.mean,
                max(0.0, interval.low) if interval.count > 1 else interval.mean,
                min(1.0, interval.high) if interval.count > 1 else interval.mean,
                outcome.trained_parameters,
                outcome.total_parameters,
                outcome.seconds,
            )
        )
    train, test = task.folds[0]
    return content.TaskResult(
        task.question.name,
        task.question.words,
        task.examples.classes,
        len(train),
        len(test),
        task.majority,
        arms,
        compare=("full", "scratch"),
        confusion=outcomes[-1].confusion,
        confusion_of="full",
    )


def _curves(name: str, what: str, log: Sequence[dict[str, Any]]) -> content.Curves:
    rows = [row for row in log if row["kind"] == "train"]
    units = {"loss": "loss", "nce": "nats", "mse": "squared error", "accuracy": "accuracy"}
    units["clips_per_s"] = "clips/s"
    series = [
        content.Series(key, [float(row[key]) for row in rows], unit)
        for key, unit in units.items()
        if rows and key in rows[0]
    ]
    return content.Curves(name, what, [row["step"] for row in rows], series)


@torch.inference_mode()
def _examples(demo: Demo, model: ssast.Pretraining) -> list[content.Example]:
    """Two clips of each task, what was hidden of them, and what the model painted."""
    config, spec = model.encoder.config, model.spec
    frontend = Frontend(spec)
    examples: list[content.Example] = []
    size = spec.samples(config.frames)
    for task, _ in demo.outcomes.values():
        for clip in _long_enough(task.clips, size / spec.rate_hz)[:2]:
            samples = clip.read(spec.rate_hz)[:size]
            made = frontend(torch.from_numpy(samples)[None], None)
            values = made.values
            parts = Hiding(model.encoder, values, None)
            hidden = model.draw_mask(parts, torch.Generator().manual_seed(len(examples)))
            context = parts.encode(hidden, model.hidden)
            picture = unpatchify(model.generate(context), config.patch, parts.grid)[0]
            full = values[0].clone()
            full[: picture.shape[0], : picture.shape[1]] = picture
            examples.append(
                content.Example(
                    Path(clip.id).name,
                    {task.question.name: clip.labels[task.question.task]},
                    samples,
                    spec.rate_hz,
                    values[0].numpy(),
                    hidden[0].reshape(parts.grid).numpy(),
                    full.numpy(),
                    config.patch,
                    spec.frame_rate_hz,
                    bin_centres_hz(spec),
                )
            )
    return examples


def _long_enough(clips: Clips, seconds: float) -> list[Clip]:
    """The longest first come of each class, classes in turn, so that pictures are full."""
    chosen: dict[str, Clip] = {}
    for clip in sorted(clips, key=lambda clip: -min(clip.duration_s, seconds)):
        chosen.setdefault(next(iter(clip.labels.values())), clip)
    return list(chosen.values())


@torch.inference_mode()
def _map(demo: Demo, encoder: ssast.SSAST) -> content.EmbeddingMap:
    """All labelled clips in the plane, near to what the frozen encoder hears as similar."""
    from sklearn.manifold import TSNE

    vectors, labels, titles, sounds = [], [], [], {}
    for name, (task, _) in demo.outcomes.items():
        for row in range(len(task.examples)):
            one = task.examples.take([row])
            sums = Moments(encoder.grid[0], encoder.width)
            sums.add(encoder(one.features, one.lengths))
            vectors.append(sums.vector("statistics"))
            labels.append(name)
            clip = task.clips[row] if task.clips[row].id == one.ids[0] else None
            word = one.classes[int(one.targets)]
            titles.append(f"{word} · {Path(one.ids[0]).name}")
            if clip is not None and row % max(1, len(task.examples) // 20) == 0:
                sounds[len(labels) - 1] = content.MapClip(clip.read(8000)[:8000], 8000)
    matrix = np.stack(vectors)
    matrix = (matrix - matrix.mean(0)) / (matrix.std(0) + 1e-6)
    points = TSNE(perplexity=min(30, len(matrix) // 4), random_state=0, init="pca").fit_transform(
        matrix
    )
    return content.EmbeddingMap(
        points,
        labels,
        titles,
        "t-SNE of the frozen encoder's vectors",
        "Every labelled clip; the encoder was never told the labels.",
        sounds,
    )


def _costs(demo: Demo) -> content.Costs:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    return content.Costs(
        tuple(demo.stages), demo.peak_memory_bytes, machine, torch.get_num_threads()
    )
