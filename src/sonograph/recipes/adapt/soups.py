"""Members for a soup, and the claim that a greedy soup beats the best of them.

Members are short fine-tunings of one pre-trained encoder from the same weights and the same head,
a linear probe (the paper's LP initialisation), with learning rate, weight decay, augmentation and
order drawn at random (appendix J).
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clips
from sonograph.data.conditions import SURROUNDINGS, Change, Surroundings, shifted, telephone
from sonograph.errors import InputError
from sonograph.infer.embed import encoder_of
from sonograph.metrics.intervals import paired_interval
from sonograph.nn.heads import Classifier
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import (
    EFFECT,
    INSTRUMENT,
    TONE,
    Question,
    Task,
    open_task,
    spent,
    verdict_of,
)
from sonograph.recipes.pretraining import data_of
from sonograph.records import Figure, Record, stamped
from sonograph.systems.adapt import soups
from sonograph.train.finetune import (
    Examples,
    Finetune,
    Shuffled,
    Teach,
    examples_of,
    finetune,
    frames_of,
)
from sonograph.train.soup import Brewing, Run, Taster, accuracy, brew, logits_of, loss, read_run
from sonograph.train.trainer import Summary, TrainConfig, Trainer

LR = (1e-4, 2e-3)  # drawn evenly in the logarithm; the paper's span is of a hundred, for CLIP
DECAY = (1e-4, 0.3)


def probe_config(updates: int, seed: int) -> Finetune:
    """How the common head is found: on frozen vectors, which costs next to nothing."""
    train = TrainConfig(steps=updates, lr=3e-3, weight_decay=0.01, save_every=0, seed=seed)
    return Finetune(method="linear", batch=32, noise=0.0, roll_frames=0, train=train)


def member_config(seed: int, number: int, updates: int, batch: int) -> Finetune:
    """The hyper-parameters of one member: a pure function of seed and number.

    >>> member_config(0, 1, 40, 16) == member_config(0, 1, 40, 16)
    True
    """
    draw = np.random.default_rng([seed, number])
    lr, decay = (float(np.exp(draw.uniform(*np.log(span)))) for span in (LR, DECAY))
    return Finetune(
        batch=batch,
        noise=round(float(draw.uniform(0, 0.5)), 3),
        roll_frames=int(draw.integers(0, 11)),
        train=TrainConfig(
            steps=updates,
            lr=float(f"{lr:.3g}"),
            weight_decay=float(f"{decay:.3g}"),
            warmup_steps=updates // 10,
            clip_norm=1.0,
            save_every=10,
            seed=1000 * seed + number,
        ),
    )


def teach(
    start: Classifier,
    train: Examples,
    folder: Path,
    config: Finetune,
    card: dict[str, Any],
    progress: Progress = silent,
) -> Summary:
    """Fine-tune a copy of a classifier, head and all, into a run folder; resumes."""
    model = copy.deepcopy(start).train().requires_grad_(True)
    batches = Shuffled(train, config.batch, config.train.seed)
    trainer = Trainer(
        model, Teach(config), batches, folder / "training", config.train, progress=progress
    )
    summary = trainer.run()
    weights.save_folder(folder, model, {**card, "finetune": config.to_dict()})
    return summary


# --- a small soup --------------------------------------------------------------------------------

FIT = Brewing("greedy")


def fit(
    folder: Path, clips: Clips, steps: int | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """A soup of three members on the commonest task of clips, resumable, left in `folder`.

    steps: updates of each member, 30 unless given. A fifth of the recordings is held out and
    decides. Returns the held-out loss of the common start and of the soup.
    """
    updates = 30 if steps is None else steps
    known = clips.tasks()
    if not known:
        raise InputError("no clip has a label to teach: give labelled clips")
    task = max(known, key=lambda name: (name == INSTRUMENT.task, known[name], name))
    train, held = clips.folds(task, 5)[0]
    held = held.filter(lambda clip: clip.labels[task] in train.classes(task))
    encoder: Any = encoder_of(weights.load("ast-mini"))
    frames = min(96, frames_of(clips.labelled(task), encoder))
    learn = examples_of(train, task, encoder.spec, frames)
    choose = examples_of(held, task, encoder.spec, frames, learn.classes)
    finetune(encoder, learn, None, folder / "untaught", probe_config(100, 0))
    start: Any = weights.load_folder(folder / "untaught")
    before = loss(logits_of(start, choose), choose)
    places, rates = [], []
    for number in range(3):
        place, config = folder / f"member{number}", member_config(0, number, updates, 8)
        card = {"from": "ast-mini", "task": task}
        rates.append(teach(start, learn, place, config, card, progress).clips_per_s)
        places.append(place)
    made = brew([read_run(place) for place in places], FIT, choose)
    weights.save_folder(folder, made.model, {"task": task, "soup": made.to_json()["recipe"]})
    return {
        "loss_before": before,
        "loss_after": loss(logits_of(made.model, choose), choose),
        "steps": 3 * updates,
        "clips_per_s": sum(rates) / len(rates),
    }


# --- the claim -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Asked(Config):
    """One task of the claim: how much of each clip is heard, and how long members learn."""

    name: str
    frames: int
    updates: int


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    start: str
    tasks: tuple[Asked, ...]
    members: int
    strangers: int  # members of the control, each from random weights of its own
    batch: int = 16
    probe_updates: int = 200
    seeds: int = 3


SCALES = {
    "cpu": Scale(
        "ast-mini",
        (Asked("tone", 32, 40), Asked("effect", 64, 30)),
        members=8,
        strangers=2,
    ),
    "gpu": Scale(
        "ast-mini",
        (Asked("tone", 64, 400), Asked("effect", 256, 400), Asked("instrument", 128, 400)),
        members=24,
        strangers=8,
        batch=32,
    ),
}
CONTROL = "tone"  # the task of the control
LEARNING = soups.Learning(batch=16)
WISE = (0.0, 0.25, 0.5, 0.75)  # of the best run; 1 is that itself
QUESTIONS: dict[str, Question] = {one.name: one for one in (TONE, EFFECT, INSTRUMENT)}
PAPER = (
    Figure("best run, ImageNet", 80.39, unit="% accuracy"),
    Figure("uniform soup, ImageNet", 79.97, unit="% accuracy"),
    Figure("greedy soup, ImageNet", 81.03, unit="% accuracy"),
    Figure("best run, five shifted sets", 47.97, unit="% accuracy"),
    Figure("uniform soup, five shifted sets", 51.58, unit="% accuracy"),
    Figure("greedy soup, five shifted sets", 50.86, unit="% accuracy"),
)
RULE = (
    "The 95 % Student's t interval of the difference in accuracy ({what}), paired by task and seed "
    "over {pairs} pairs, lies above 0: shown; below 0: not shown; else inconclusive. Seed s tests "
    "on fold s; a quarter of the other clips, by recording, chooses the best run and decides what "
    "goes into the soup; the rest is learned from. All arms are made of the same runs."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The clips of one task and seed."""

    learn: Examples
    choose: Examples
    test: Examples
    shifts: dict[str, Examples]  # the test clips under other recording conditions


def parts_of(task: Task, seed: int, shifts: dict[str, Examples]) -> Parts:
    """Fold `seed` is tested on; a quarter of the rest, by recording, decides."""
    rows, test = task.folds[seed % len(task.folds)]
    place = {name: number for number, name in enumerate(task.examples.ids)}
    inside = set(rows)
    rest = Clips([clip for clip in task.clips if place[clip.id] in inside])
    learn, choose = rest.folds(task.question.task, 4, seed=seed)[0]
    return Parts(
        task.examples.take([place[clip.id] for clip in learn]),
        task.examples.take([place[clip.id] for clip in choose]),
        task.examples.take(test),
        {name: changed.take(test) for name, changed in shifts.items()},
    )


def measured(
    runs: Sequence[Run], start: soups.State | None, parts: Parts
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """({arm: {condition: accuracy}}, more) of all ways to make one answer of the runs."""
    everything = [parts.choose, parts.test, *parts.shifts.values()]
    names = ("choose", "test", *parts.shifts)
    taster = Taster(runs[0].described, everything, parts.learn)
    states = [run.state for run in runs]

    def told(answers: Sequence[torch.Tensor]) -> dict[str, float]:
        pairs = zip(names, answers, everything)
        return {name: accuracy(logits, part) for name, logits, part in pairs}

    def asked(state: soups.State) -> list[torch.Tensor]:
        taster.settle(state)
        return taster.answers()

    answers = [asked(state) for state in states]
    alone = [told(one) for one in answers]
    scores = [one["choose"] for one in alone]
    best = soups.ranked(scores)[0]
    together = [soups.ensemble(part) for part in zip(*answers)]
    greedy = soups.greedy(states, scores, taster.score)
    mean = soups.uniform(states)
    uniform = asked(mean)
    arms = {
        "best": alone[best],
        "mean of runs": {n: float(np.mean([one[n] for one in alone])) for n in names},
        "uniform": told(uniform),
        "greedy": told(asked(greedy.state)),
        "ensemble": told(together),
    }
    taster.fill(mean)
    learned = soups.LearnedSoup(taster.model, states)
    inputs = (parts.choose.features, parts.choose.lengths)
    soups.learn(learned, inputs, parts.choose.targets, LEARNING)
    arms["learned"] = told(asked(learned.state()))
    if start is not None:
        for share in WISE:
            mixed = soups.interpolate(start, states[best], share)
            arms[f"interpolated {share}"] = told(asked(mixed))
    rises = [
        (scores[best] + scores[number]) / 2
        - taster.score(soups.interpolate(states[best], state, 0.5))
        for number, state in enumerate(states)
        if number != best
    ]
    more = {
        "runs alone": alone,
        "greedy kept": list(greedy.kept),
        "greedy trials": list(greedy.trials),
        "barriers to the best": rises,
        # section 4: the gap grows with the spread of the weights
        "test loss, uniform minus ensemble": loss(uniform[1], parts.test)
        - loss(together[1], parts.test),
        "spread of the weights": soups.spread(states),
    }
    return arms, more


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Greedy soup against the best run, as recorded and shifted; runs of different starts.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began = time.perf_counter()
    plan = SCALES[scale]
    clips = corpora.open_sets(["core"], data_folder)
    encoder: Any = encoder_of(weights.load(plan.start))
    rate_hz, seeds = encoder.spec.rate_hz, range(plan.seeds)
    changes: dict[str, Change] = {
        "telephone": telephone,
        "surroundings": Surroundings(clips, rate_hz),
    }
    rows: list[dict[str, Any]] = []
    control: list[dict[str, Any]] = []
    for one in plan.tasks:
        task = open_task(QUESTIONS[one.name], clips, encoder.spec, one.frames, plan.seeds)
        classes = task.examples.classes
        shifts = {
            name: examples_of(
                shifted(task.clips, folder / one.name / name, rate_hz, change),
                one.name,
                encoder.spec,
                one.frames,
                classes,
            )
            for name, change in changes.items()
        }
        for seed in seeds:
            place, parts = folder / one.name / f"seed{seed}", parts_of(task, seed, shifts)
            tell = progress(f"{one.name}, seed {seed}")
            probe = probe_config(plan.probe_updates, seed)
            finetune(copy.deepcopy(encoder), parts.learn, None, place / "start", probe)
            start: Any = weights.load_folder(place / "start")
            runs = []
            for number in range(plan.members):
                config = member_config(seed, number, one.updates, plan.batch)
                teach(start, parts.learn, place / f"run{number}", config, {}, tell)
                runs.append(read_run(place / f"run{number}"))
            arms, more = measured(runs, start.state_dict(), parts)
            about = {"task": one.name, "seed": seed, "majority": task.majority}
            sizes = {n: len(getattr(parts, n)) for n in ("learn", "choose", "test")}
            rows.append({**about, "clips": sizes, "arms": arms, **more})
            if one.name != CONTROL:
                continue
            strangers = []
            for number in range(plan.strangers):
                seeded = 1000 * (seed + 1) + number
                torch.manual_seed(seeded)
                alone = Classifier(_untrained(encoder, seeded), classes)
                # no pre-training: twice the updates, so that there is something to average
                config = member_config(seed, number, 2 * one.updates, plan.batch)
                teach(alone, parts.learn, place / f"stranger{number}", config, {}, tell)
                strangers.append(read_run(place / f"stranger{number}"))
            arms, more = measured(strangers, None, parts)
            control.append({**about, "arms": arms, **more})
    seconds = spent(folder, time.perf_counter() - began)
    details = {"scale": plan.to_dict(), "runs": rows, "different starts": control}
    used = {name for one in plan.tasks for name in QUESTIONS[one.name].corpora} | {SURROUNDINGS}
    heard = clips.filter(lambda clip: clip.source in used)
    found = _records(rows, control, plan, details, data_of(heard))
    end = "-gpu" if scale == "gpu" else ""
    return [(name + end, stamped(record, seconds)) for name, record in found]


def _untrained(encoder: Any, seed: int) -> Any:
    """An encoder of the same configuration with random weights."""
    described = encoder.describe()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return weights.build(described)


def _records(
    rows: list[dict[str, Any]],
    control: list[dict[str, Any]],
    plan: Scale,
    details: dict[str, Any],
    data: list[dict[str, Any]],
) -> list[tuple[str, Record]]:
    shown_arms = (
        "best", "mean of runs", "uniform", "greedy", "learned", "ensemble",
        *(f"interpolated {share}" for share in WISE),
    )  # fmt: skip

    def values(found: list[dict[str, Any]], arm: str, conditions: Sequence[str]) -> list[float]:
        return [float(np.mean([row["arms"][arm][name] for name in conditions])) for row in found]

    def record(
        sentence: str,
        a: str,
        b: str,
        conditions: Sequence[str],
        among: list[dict[str, Any]],
        arms: Sequence[str],
        paper: tuple[Figure, ...],
    ) -> Record:
        gain = paired_interval(values(among, a, conditions), values(among, b, conditions))
        what = f"{a} minus {b}"
        means = [
            Figure(arm, float(np.mean(values(among, arm, conditions))), unit="accuracy")
            for arm in arms
        ]
        return Record(
            system="soups",
            kind="claim",
            sentence=sentence,
            rule=RULE.format(what=what, pairs=len(among)),
            verdict=verdict_of(gain),
            measured=(Figure(what, gain.mean, gain.low, gain.high, "accuracy"), *means),
            paper=paper,
            arms=(a, b),
            data=tuple(row["source"] for row in data),
            seeds=tuple(range(plan.seeds)),
            details=details,
        )

    return [
        (
            "claim",
            record(
                "A greedy soup is better than the best single run, at equal inference cost.",
                "greedy", "best", ("test",), rows, shown_arms, PAPER,
            ),
        ),
        (
            "claim-shifted",
            record(
                "A greedy soup is better than the best single run under recording conditions that "
                "were not learned (telephone coding; other sounds at 10 dB below).",
                "greedy", "best", ("telephone", "surroundings"), rows, shown_arms, PAPER,
            ),
        ),
        (
            "claim-starts",
            record(
                "Runs from different random starts make no soup: their mean is worse than they.",
                "mean of runs", "uniform", ("test",), control, shown_arms[:6], (),
            ),
        ),
    ]  # fmt: skip
