"""NMTune beside a linear probe and a plain MLP, on encoders pre-trained with wrong labels.

One small network learns the rhymes of Mandarin syllables, a share of its labels flipped. Its frozen
vectors then serve tasks on syllables of other rhymes: as recorded, and under conditions that
were not learned (another voice, telephone, other sounds below, a room).
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from sonograph import weights
from sonograph.config import Config
from sonograph.data import corpora
from sonograph.data.clips import Clip, Clips
from sonograph.data.conditions import Change, Surroundings, shifted, telephone
from sonograph.errors import InputError
from sonograph.metrics.intervals import paired_interval
from sonograph.nn.heads import Classifier
from sonograph.progress import Progress, silent
from sonograph.recipes.adapt import contest
from sonograph.recipes.adapt.supervised_transfer import MANNERS
from sonograph.recipes.arms import spent, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.records import Figure, Record, stamped
from sonograph.systems.adapt.noise_tuning import spectrum
from sonograph.systems.tag import panns
from sonograph.train import optim
from sonograph.train.adapt import adapt, methods_of
from sonograph.train.finetune import (
    Examples,
    Finetune,
    Head,
    Shuffled,
    Teach,
    examples_of,
    finetune,
    pooled,
    teach_head,
)
from sonograph.train.trainer import Objective, TrainConfig


def fit(folder: Path, clips: Clips, steps: int | None, progress: Progress = silent) -> Any:
    """A short training of the head on vectors of real clips; see `contest.fit`."""
    return contest.fit(Finetune(method="nmtune"), folder, clips, steps, progress)


# --- wrong labels --------------------------------------------------------------------------------


def flipped(targets: Int[Tensor, "n"], share: float, classes: int, seed: int) -> Int[Tensor, "n"]:
    """Targets of which about a share is changed to another class, each as likely (section 2.1).

    What is wrong at a small share is wrong, in the same way, at every larger one of that seed.
    Raises InputError for a share outside of [0, 1] and for a single class.

    >>> flipped(torch.zeros(8, dtype=torch.long), 0.5, 3, seed=0).tolist()
    [2, 0, 2, 1, 1, 0, 1, 0]
    """
    if not 0 <= share <= 1 or classes < 2:
        raise InputError(f"a share of {share} of {classes} classes cannot be flipped")
    draw = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(targets), generator=draw) < share
    other = torch.randint(1, classes, targets.shape, generator=draw)
    return torch.where(wrong, (targets + other) % classes, targets)


# --- the claim -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Arm(Config):
    """A head on frozen vectors, at the learning rate of the official code."""

    name: str
    method: str
    lr: float
    normalisation: Literal["kept", "none"] = "kept"  # of our linear head; the paper's has none


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    channels: tuple[int, ...]
    updates: int  # of pre-training
    batch: int = 32
    lr: float = 3e-3
    frames: int = 32  # four fifths of all syllables are shorter
    roll_frames: int = 3
    noises: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3)
    epochs: int = 30  # of a head, with batches of 64: the official code's
    head_batch: int = 64
    seeds: int = 3

    def network(self) -> panns.Config:
        """A CNN of the PANNs family."""
        return panns.Config(
            channels=self.channels,
            pools=(2,) * len(self.channels),
            embedding=96,
            labels=("none",),
            frames=self.frames,
            features=panns.logmel(16_000),
        )


SCALES = {
    "cpu": Scale((16, 32, 64, 64), updates=200),
    "gpu": Scale((64, 128, 256, 256), updates=6000, batch=128, lr=1e-3, seeds=5),
}
LINEAR, MLP, NMTUNE = "linear probe", "mlp", "nmtune"
ARMS = (
    Arm(LINEAR, "linear", 1e-2),
    Arm("linear probe, not normalised", "linear", 1e-2, "none"),
    Arm(MLP, "mlp", 1e-3),
    Arm(NMTUNE, "nmtune", 1e-3),
)
INITIALS = "ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎㄏㄐㄑㄒㄓㄔㄕㄖㄗㄘㄙ"  # in Zhuyin
VOICES = ("gcin-3", "gcin-5")
TASKS = ("rhyme", "manner", "tone")
FEWEST = 24  # clips of a rhyme
RECORDED, VOICE = "recorded", "voice"
SHIFTS = (VOICE, "telephone", "surroundings", "room")
RULE = (
    "The 95 % Student's t interval of the difference in accuracy ({what}), paired by task and seed "
    "over {pairs} pairs, lies above 0: shown; below 0: not shown; else inconclusive. An accuracy "
    "is the mean over {over}. Seed s pre-trains from random weights s with flips s and "
    "tests on fold s; a head learns on one voice, every head has the same two views of the same "
    "clips, as many updates, and the learning rate of the official code."
)
SHIFTED = "another voice, telephone, other sounds at 10 dB below and a room"


def rhyme(syllable: str) -> str:
    """A syllable in Zhuyin without its initial; "" of an initial alone.

    >>> rhyme("ㄅㄧㄠ"), rhyme("ㄠ"), rhyme("ㄓ")
    ('ㄧㄠ', 'ㄠ', '')
    """
    return syllable[1:] if syllable[:1] in INITIALS else syllable


def _labelled(clip: Clip) -> Clip:
    """The clip with labels of the three tasks, as far as it has them."""
    syllable, tone = clip.labels.get("syllable", ""), clip.labels.get("tone", "")
    manner = next((name for name, firsts in MANNERS.items() if syllable[:1] in firsts), "")
    labels = {"rhyme": rhyme(syllable), "manner": manner, "tone": tone.replace("neutral", "")}
    return dataclasses.replace(
        clip, labels={name: label for name, label in labels.items() if label}
    )


def divided(clips: Clips) -> tuple[Clips, Clips]:
    """(to pre-train on, for the tasks): two thirds and one third of the rhymes, by their hashes."""
    known = [_labelled(clip) for clip in clips if clip.source == "gcin" and clip.duration_s >= 0.1]
    known = [clip for clip in known if "rhyme" in clip.labels]
    counts = Counter(clip.labels["rhyme"] for clip in known)
    names = sorted(
        (name for name, count in counts.items() if count >= FEWEST),
        key=lambda name: hashlib.sha256(name.encode()).digest(),
    )
    if len(names) < 6:
        raise InputError("too few Mandarin syllables: run `sonograph data get gcin`")
    held = set(names[::3])
    return (
        Clips([clip for clip in known if clip.labels["rhyme"] in set(names) - held]),
        Clips([clip for clip in known if clip.labels["rhyme"] in held]),
    )


def room(samples: np.ndarray, rate_hz: int, clip: Clip) -> np.ndarray:
    """A made room: a tail of noise as strong as the direct sound, 60 dB down after 0.6 s."""
    length = int(0.6 * rate_hz)
    tail = np.random.default_rng(0).standard_normal(length)
    tail *= 10 ** (-3 * np.arange(length) / length)
    response = tail / np.sqrt(np.square(tail).sum())
    response[0] += 1
    size = len(samples) + length
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return heard[: len(samples)].astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Everything that is heard: source clips, and those of the tasks under each condition."""

    source: Examples
    source_folds: list[tuple[list[int], list[int]]]
    heard: dict[str, Examples]  # of the tasks: as recorded and shifted, in one order
    clips: list[Clip]  # of the tasks, in that order
    folds: dict[str, list[tuple[list[int], list[int]]]]  # of each task: rows into `clips`

    @classmethod
    def open(cls, clips: Clips, plan: Scale, folder: Path) -> Data:
        spec, rate_hz = plan.network().features, plan.network().features.rate_hz
        source, tasks = divided(clips)
        changes: dict[str, Change] = {
            "telephone": telephone,
            "surroundings": Surroundings(clips, rate_hz),
            "room": room,
        }
        heard = {RECORDED: examples_of(tasks, "rhyme", spec, plan.frames)}
        for name, change in changes.items():
            made = shifted(tasks, folder / "heard" / name, rate_hz, change)
            heard[name] = examples_of(made, "rhyme", spec, plan.frames)
        learned = examples_of(source, "rhyme", spec, plan.frames)
        place = {clip.id: clip for clip in tasks}
        return cls(
            learned,
            _rows(learned.ids, source.folds("rhyme", 5)),
            heard,
            [place[name] for name in heard[RECORDED].ids],
            {
                task: _rows(heard[RECORDED].ids, tasks.labelled(task).folds(task, plan.seeds))
                for task in TASKS
            },
        )

    def targets(self, task: str) -> tuple[Int[Tensor, "n"], tuple[str, ...]]:
        """(class of each clip, -1 where it has none; names of the classes)."""
        labels = [clip.labels.get(task, "") for clip in self.clips]
        names = tuple(sorted(set(labels) - {""}))
        return torch.tensor([names.index(one) if one else -1 for one in labels]), names


def _rows(
    ids: Sequence[str], folds: Sequence[tuple[Clips, Clips]]
) -> list[tuple[list[int], list[int]]]:
    row = {name: number for number, name in enumerate(ids)}
    return [([row[c.id] for c in train], [row[c.id] for c in test]) for train, test in folds]


def pretrained(
    data: Data, noise: float, seed: int, plan: Scale, folder: Path, progress: Progress = silent
) -> tuple[Any, float]:
    """(an encoder taught rhymes with a share of flipped labels, its accuracy on true ones)."""
    train, test = (data.source.take(rows) for rows in data.source_folds[seed % 5])
    wrong = flipped(train.targets, noise, len(train.classes), seed)
    torch.manual_seed(seed)
    encoder: Any = panns.PANN(plan.network())
    steps = TrainConfig(
        steps=plan.updates, lr=plan.lr, warmup_steps=plan.updates // 10, weight_decay=0.01,
        clip_norm=1.0, save_every=0, seed=seed,
    )  # fmt: skip
    config = Finetune(batch=plan.batch, roll_frames=plan.roll_frames, train=steps)
    noisy = dataclasses.replace(train, targets=wrong)
    done = finetune(encoder, noisy, test, folder, config, progress=progress)
    assert done.measured is not None
    return done.model.encoder, done.measured.accuracy


def head_on(vectors: Examples, encoder: Any, arm: Arm, plan: Scale, seed: int) -> nn.Module:
    """A head taught on vectors (n, views, d).

    Hundreds of heads of a second each: a loop of its own, without the trainer's folder.
    """
    steps = plan.epochs * -(-len(vectors) // plan.head_batch)
    config = TrainConfig(steps=steps, lr=arm.lr, weight_decay=1e-4, warmup_steps=steps // 10)
    methods = methods_of(arm.method)
    objective: Objective = teach_head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = adapt(Classifier(encoder, vectors.classes), methods)
    learner = Head(model)  # type: ignore[arg-type]
    if arm.normalisation == "none":
        learner.head.norm = nn.Identity()  # type: ignore[assignment]
    for one in methods:
        objective = one.objective(objective)
    optimizer = optim.build(learner, config, fused=True)
    draw = torch.Generator().manual_seed(seed)
    learner.train()
    for step, batch in zip(range(steps), Shuffled(vectors, plan.head_batch, seed)):
        for group in optimizer.param_groups:
            group["lr"] = optim.rate(config, step, 1.0) * group["factor"]
        objective(learner, batch, draw)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    return learner.eval()


@torch.no_grad()
def _accuracy(head: nn.Module, vectors: Examples, rows: Sequence[int]) -> float:
    part = vectors.take(rows)
    return float((head(part.features).argmax(1) == part.targets).float().mean())


def measured(
    encoder: Any, data: Data, plan: Scale, seed: int
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, dict[str, float]]]:
    """({task: {arm: {condition: accuracy}}}, {condition: {measure of the spectrum: value}})."""
    holder = Classifier(encoder, ("one", "other"))
    vectors = {name: pooled(holder, examples) for name, examples in data.heard.items()}
    draw = torch.Generator().manual_seed(seed)
    disturb = Teach(Finetune(roll_frames=plan.roll_frames)).disturbed
    altered = [disturb(part, draw) for part in data.heard[RECORDED].features.split(16)]
    second = pooled(holder, dataclasses.replace(data.heard[RECORDED], features=torch.cat(altered)))
    both = torch.stack([vectors[RECORDED].features, second.features], 1)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for number, task in enumerate(TASKS):
        targets, classes = data.targets(task)
        change: Any = {"targets": targets, "classes": classes}
        of_task = {n: dataclasses.replace(one, **change) for n, one in vectors.items()}
        learn = dataclasses.replace(of_task[RECORDED], features=both)
        own = VOICES[(seed + number) % 2]  # the voice that is learned takes turns
        train, test = data.folds[task][seed % plan.seeds]
        same = [row for row in test if data.clips[row].speaker == own]
        other = [row for row in test if data.clips[row].speaker != own]
        known = learn.take([row for row in train if data.clips[row].speaker == own])
        arms = found.setdefault(task, {})
        for arm in ARMS:
            head = head_on(known, encoder, arm, plan, seed)
            arms[arm.name] = {
                **{name: _accuracy(head, one, same) for name, one in of_task.items()},
                VOICE: _accuracy(head, of_task[RECORDED], other),
            }
    spectra = {}
    for name, one in vectors.items():
        spread = spectrum(one.features)
        spectra[name] = {"SVE": spread.entropy, "LSVR": spread.largest_log_ratio}
    return found, spectra


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """NMTune against a linear probe and a plain MLP; wrong labels against none.

    Returns (name, record) pairs. Started again on the same folder it goes on where it was.
    """
    began, plan = time.perf_counter(), SCALES[scale]
    clips = corpora.open_sets(["core"], data_folder)
    data = Data.open(clips, plan, folder)
    rows: list[dict[str, Any]] = []
    for seed in range(plan.seeds):
        for noise in plan.noises:
            place = folder / f"seed{seed}" / f"noise{noise:g}"
            kept = place / "measured.json"
            if not kept.is_file():
                tell = progress(f"noise {noise:g}, seed {seed}")
                encoder, source = pretrained(data, noise, seed, plan, place, tell)
                tasks, spectra = measured(encoder, data, plan, seed)
                row = {"noise": noise, "seed": seed, "source": source, "spectra": spectra}
                weights.write_json(kept, {**row, "tasks": tasks})
            rows.append(dict(weights.read_json(kept)))
    seconds = spent(folder, time.perf_counter() - began)
    sizes = {
        "source": {"clips": len(data.source), "classes": len(data.source.classes)},
        **{
            task: {
                "clips": int((data.targets(task)[0] >= 0).sum()),
                "classes": len(data.targets(task)[1]),
            }
            for task in TASKS
        },
    }
    details = {
        "scale": plan.to_dict(),
        "arms": [arm.to_dict() for arm in ARMS],
        "sizes": sizes,
        "runs": rows,
    }
    used = clips.filter(lambda clip: clip.source in ("gcin", "minetest"))
    found = records_of(rows, plan, details, tuple(row["source"] for row in data_of(used)))
    end = "-gpu" if scale == "gpu" else ""
    return [(name + end, stamped(record, seconds)) for name, record in found]


def accuracies(
    rows: Sequence[Mapping[str, Any]], arm: str, conditions: Sequence[str], noises: Sequence[float]
) -> list[float]:
    """One for each task and seed: means over conditions and shares of wrong labels."""
    return [
        float(
            np.mean(
                [
                    row["tasks"][task][arm][name]
                    for row in rows
                    if row["seed"] == seed and row["noise"] in noises
                    for name in conditions
                ]
            )
        )
        for task in TASKS
        for seed in sorted({row["seed"] for row in rows})
    ]


def records_of(
    rows: Sequence[Mapping[str, Any]], plan: Scale, details: dict[str, Any], data: tuple[str, ...]
) -> list[tuple[str, Record]]:
    """The four claims, each beside all rows of the table."""
    noises, noisy = plan.noises, plan.noises[1:]
    slight = tuple(noise for noise in noisy if noise <= 0.1)
    table = []
    for noise in noises:
        of_noise = [row for row in rows if row["noise"] == noise]
        about = f"{noise:.0%} wrong"
        sources = [row["source"] for row in of_noise]
        table.append(Figure(f"{about}: source classes", float(np.mean(sources)), unit="accuracy"))
        for measure in ("SVE", "LSVR"):
            values = [row["spectra"][RECORDED][measure] for row in of_noise]
            table.append(Figure(f"{about}: {measure}", float(np.mean(values))))
        for arm in ARMS:
            for words, where in (("as recorded", (RECORDED,)), ("shifted", SHIFTS)):
                mean = float(np.mean(accuracies(rows, arm.name, where, (noise,))))
                table.append(Figure(f"{about}: {arm.name}, {words}", mean, unit="accuracy"))

    def record(
        sentence: str,
        what: str,
        first: list[float],
        second: list[float],
        over: str,
        arms: tuple[str, ...],
        paper: tuple[Figure, ...] = (),
    ) -> Record:
        gain = paired_interval(first, second)
        return Record(
            system="noise_tuning",
            kind="claim",
            sentence=sentence,
            rule=RULE.format(what=what, pairs=len(first), over=over),
            verdict=verdict_of(gain),
            measured=(Figure(what, gain.mean, gain.low, gain.high, "accuracy"), *table),
            paper=paper,
            arms=arms,
            data=data,
            seeds=tuple(range(plan.seeds)),
            details=details,
        )

    def against(other: str, paper: tuple[Figure, ...] = ()) -> Record:
        return record(
            f"On sounds under conditions that were not learned, NMTune is better than a "
            f"{'plain MLP' if other == MLP else other}.",
            f"{NMTUNE} minus {other}, shifted",
            accuracies(rows, NMTUNE, SHIFTS, noises),
            accuracies(rows, other, SHIFTS, noises),
            f"{SHIFTED}, and over all shares of wrong labels",
            (NMTUNE, other),
            paper,
        )

    wrong = f"{min(slight):.0%} and {max(slight):.0%} wrong"
    return [
        ("claim", against(LINEAR)),
        ("claim-mlp", against(MLP, (Figure("gain, as reviewers summed it up", 1, unit="point"),))),
        (
            "claim-slight-noise",
            record(
                "Slight label noise in pre-training helps on sounds as they were recorded.",
                f"{wrong} minus none, as recorded",
                accuracies(rows, LINEAR, (RECORDED,), slight),
                accuracies(rows, LINEAR, (RECORDED,), (0.0,)),
                "these shares of wrong labels, of the linear probe",
                (wrong, "none wrong"),
            ),
        ),
        (
            "claim-shifted-noise",
            record(
                "Label noise in pre-training hurts on sounds under conditions not learned.",
                "none wrong minus some wrong, shifted",
                accuracies(rows, LINEAR, SHIFTS, (0.0,)),
                accuracies(rows, LINEAR, SHIFTS, noisy),
                f"{SHIFTED}, and over all shares above 0, of the linear probe",
                ("none wrong", "some wrong"),
            ),
        ),
    ]
