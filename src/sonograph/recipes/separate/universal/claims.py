"""The claim: what a separator learned from weak labels alone is worth, and beside what."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sonograph import weights
from sonograph.audio.feature_spec import Frontend
from sonograph.config import Config
from sonograph.data import mix, ontology
from sonograph.data.anchors import Anchor, AnchorMixtures, anchors, energy_matched
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.data.mixtures import PEAK, Batch, Pool
from sonograph.data.sampler import random_of
from sonograph.metrics.intervals import mean_interval, paired_interval
from sonograph.metrics.separation import ideal_ratio_mask, si_sdr, snr
from sonograph.outputs import Audio
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.separate.universal.training import (
    LEVEL_DB,
    SHORT,
    with_tagger,
    with_typical,
)
from sonograph.records import Figure, Record
from sonograph.systems.separate import universal
from sonograph.systems.separate.universal import Pretraining, Universal
from sonograph.systems.tag import panns
from sonograph.train.trainer import TrainConfig, Trainer


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    seeds: int = 3
    rate_hz: int = 8000
    segment_s: float = 0.5
    weak_clips: int = 192  # of two events each, somewhere in `weak_s`
    weak_s: float = 4.0
    background_db: float = -15.0  # of the ambience that a weak clip is filled with, to its events
    tagger_bins: int = 32  # mel bands
    tagger_channels: tuple[int, ...] = (8, 16, 32)
    tagger_steps: int = 300
    fft_samples: int = 256
    hop_samples: int = 128
    channels: tuple[int, ...] = (8, 16, 24, 32)
    steps: int = 300
    batch: int = 8
    lr: float = 5e-3
    test_pairs: int = 2  # mixtures of each ordered pair of classes


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        rate_hz=16000, segment_s=2.0, weak_clips=2000, weak_s=10.0, tagger_bins=64,
        tagger_channels=(32, 64, 128),
        tagger_steps=2000, fft_samples=1024, hop_samples=320, channels=(16, 32, 64, 128, 192),
        steps=8000, batch=32, lr=2e-3, test_pairs=6,
    ),
}  # fmt: skip
SETS = ("asterisk-en", "ufoai", "minetest", "sonic-pi", "timgm6mb")
# (source, task) -> label: class; the classes are names of the ontology
CLASSES: dict[tuple[str, str], dict[str, str]] = {
    ("asterisk-en", "prompt"): {"sentence": "speech", "phrase": "speech"},
    ("ufoai", "effect"): {"weapons": "gunfire", "footsteps": "footsteps", "doors": "door"},
    ("minetest", "effect"): {"footsteps": "footsteps", "doors": "door"},
    ("sonic-pi", "sample"): {
        "bd": "percussion",
        "drum": "percussion",
        "sn": "percussion",
        "perc": "percussion",
        "guit": "guitar",
    },
    ("timgm6mb", "instrument"): {
        "brass": "brass instrument",
        "reed": "woodwind instrument",
        "pipe": "woodwind instrument",
        "guitar": "guitar",
        "percussion": "percussion",
    },
}
BACKGROUND = ("ufoai", "effect", "ambience")
ARMS = ("mined", "random", "no condition", "clean")
WORDS = {
    "mined": "anchors where a tagger is surest",
    "random": "segments of the same clips from anywhere",
    "no condition": "mined anchors, and nothing is asked",
    "clean": "the events themselves, which a weak label does not give",
}
PAPER = (
    Figure("AudioSet, 527 classes, SDR improvement", 5.57, unit="dB"),
    Figure("FSDKaggle2018, SDR improvement", 10.57, unit="dB"),
)
RULE = (
    "Every arm makes the same number of updates ({steps} of {batch} mixtures) with one U-Net on "
    "the same weakly labelled clips (two events somewhere in {weak_s:g} s of ambience); a tagger "
    "trained on their labels alone finds the anchors and is the query net. On mixtures of two "
    "held-out recordings of different classes, asked for by the name of the class (the mean tags "
    "of what the arm learned it from), the SI-SDR "
    "improvement is averaged within each class. The 95 % Student's t interval over {pairs} pairs "
    "(class, seed; another third of the recordings held out for each of {seeds} seeds) of {what} "
    "lies above 0: shown; below: not shown; else inconclusive."
)


def sounding(clips: Clips) -> Clips:
    """The clips of the claim's classes, labelled for task "sound"."""
    found = []
    for clip in clips:
        for (source, task), names in CLASSES.items():
            if clip.source == source and clip.labels.get(task) in names:
                label = names[clip.labels[task]]
                found.append(dataclasses.replace(clip, labels={"sound": label}, split=None))
    return Clips([clip for clip in found if clip.duration_s >= 0.1])


def ambience(clips: Clips) -> Clips:
    source, task, label = BACKGROUND
    return clips.filter(lambda clip: clip.source == source and clip.labels.get(task) == label)


@dataclasses.dataclass(frozen=True)
class Weak:
    """Weakly labelled clips: what each holds somewhere, and, for the measure alone, where."""

    pool: Pool
    labels: list[tuple[str, str]]
    places: list[dict[str, int]]  # first sample of each event


def weak_clips(events: Clips, background: Clips, plan: Scale, seed: int) -> Weak:
    """Two events of different classes in each clip, one in each half, and ambience throughout."""
    pool, around = Pool(events, plan.rate_hz), Pool(background, plan.rate_hz)
    of_class = rows_of(events)
    names, random = sorted(of_class), random_of(seed, "clip", 0)
    length, long = round(plan.segment_s * plan.rate_hz), round(plan.weak_s * plan.rate_hz)
    half = long // 2
    sounds, labels, places = [], [], []
    for number in range(plan.weak_clips):
        pair = [names[number % len(names)]]
        pair.append(str(random.choice([name for name in names if name != pair[0]])))
        clip = around.crop(random, long) * np.float32(1.0)
        clip *= np.float32(
            10 ** (plan.background_db / 20) * 0.1 / max(mix.power(clip), 1e-9) ** 0.5
        )
        where = {}
        for place, name in enumerate(random.permutation(pair)):
            event = segment(pool, int(random.choice(of_class[str(name)])), length, random)
            start = place * half + int(random.integers(half - length + 1))
            clip[:, start : start + length] += 0.1 * event / max(mix.power(event), 1e-9) ** 0.5
            where[str(name)] = start
        sounds.append(clip * np.float32(min(1.0, PEAK / float(np.abs(clip).max()))))
        labels.append((pair[0], pair[1]))
        places.append(where)
    return Weak(
        Pool.of([Audio(sound, plan.rate_hz) for sound in sounds], plan.rate_hz), labels, places
    )


def rows_of(clips: Clips) -> dict[str, list[int]]:
    """The places of the clips of each class."""
    found: dict[str, list[int]] = {}
    for number, clip in enumerate(clips):
        found.setdefault(clip.labels["sound"], []).append(number)
    return found


def segment(pool: Pool, number: int, samples: int, random: np.random.Generator) -> np.ndarray:
    spare = max(0, int(pool.lengths[number]) - samples)
    return pool.cut(number, int(random.integers(spare + 1)), samples)


class Labelled:
    """Numbered batches of whole weak clips with their labels."""

    def __init__(self, weak: Weak, names: Sequence[str], batch: int, seed: int):
        self.weak, self.names, self.size, self.seed, self.first = weak, names, batch, seed, 0

    def start_at(self, k: int) -> Labelled:
        self.first = k
        return self

    def __iter__(self) -> Iterator[Batch]:
        while True:
            random = random_of(self.seed, "order", self.first)
            rows = [int(n) for n in random.integers(len(self.weak.labels), size=self.size)]
            waves = [self.weak.pool.cut(n, 0, int(self.weak.pool.lengths[n]))[0] for n in rows]
            targets = [[name in self.weak.labels[n] for name in self.names] for n in rows]
            yield {"waveform": torch.from_numpy(np.stack(waves)), "targets": torch.tensor(targets)}
            self.first += 1


def taught_tagger(weak: Weak, plan: Scale, seed: int, folder: Path) -> Any:
    """A small PANN that learned which clips hold what; it answers frame by frame."""
    names = tuple(sorted({name for pair in weak.labels for name in pair}))
    config = panns.Config(
        channels=plan.tagger_channels,
        pools=(2,) * len(plan.tagger_channels),
        embedding=64,
        decision="mean",
        labels=names,
        frames=101,
        features=panns.logmel(plan.rate_hz, plan.tagger_bins),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tagger = panns.build(config)
    frontend = Frontend(tagger.spec)

    def objective(model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        features = frontend(batch["waveform"])
        logits = model(features.values, features.lengths)
        return {"loss": binary_cross_entropy_with_logits(logits, batch["targets"].float())}

    train = TrainConfig(steps=plan.tagger_steps, lr=5e-3, clip_norm=1.0, seed=seed,
                        warmup_steps=plan.tagger_steps // 10, save_every=50)  # fmt: skip
    Trainer(tagger, objective, Labelled(weak, names, 8, seed), folder, train).run()
    return tagger.eval()


class Unasked(AnchorMixtures):
    """The same mixtures, with an empty condition."""

    width = 0

    def batch(self, k: int) -> Batch:
        made = super().batch(k)
        return {**made, "condition": torch.zeros(len(made["mixture"]), self.width)}


def mixtures_of_arm(
    arm: str, weak: Weak, events: Clips, tagger: Any, plan: Scale, seed: int
) -> AnchorMixtures:
    """What an arm learns from."""
    samples = round(plan.segment_s * plan.rate_hz)
    if arm == "clean":
        pool = Pool(events, plan.rate_hz)
        found = [Anchor(n, clip.labels["sound"]) for n, clip in enumerate(events)]
        return AnchorMixtures(pool, found, plan.batch, samples, seed, LEVEL_DB)
    how: Any = "random" if arm == "random" else "mined"
    found = anchors(weak.pool, weak.labels, samples, tagger, how)
    kind = Unasked if arm == "no condition" else AnchorMixtures
    mixtures = kind(weak.pool, found, plan.batch, samples, seed, LEVEL_DB)
    if isinstance(mixtures, Unasked):
        mixtures.width = len(tagger.labels)
    return mixtures


def hit_share(weak: Weak, found: Sequence[Anchor], samples: int) -> float:
    """How many mined anchors lie at least half on the event that they were looked for."""
    hits = [
        anchor.start is not None
        and abs(anchor.start - weak.places[anchor.sound][anchor.label]) <= samples // 2
        for anchor in found
    ]
    return float(np.mean(hits))


def test_mixtures(events: Clips, plan: Scale, seed: int) -> dict[tuple[str, str], np.ndarray]:
    """(asked for, hidden in) -> (mixtures, 2, 1, n) of held-out events at equal energy."""
    pool, of_class = Pool(events, plan.rate_hz), rows_of(events)
    random, samples = random_of(seed, "crop", 0), round(plan.segment_s * plan.rate_hz)
    found = {}
    for first in sorted(of_class):
        for second in sorted(of_class):
            if first == second:
                continue
            rows = []
            for _ in range(plan.test_pairs):
                one, other = (
                    segment(pool, int(random.choice(of_class[name])), samples, random)
                    for name in (first, second)
                )
                pair = np.stack([one, energy_matched(one, other)])
                peak = float(np.abs(pair.sum(0)).max())
                rows.append(pair * np.float32(0.5 / max(peak, 1e-9)))
            found[first, second] = np.stack(rows).astype(np.float32)
    return found


def by_class(
    tests: Mapping[tuple[str, str], np.ndarray],
    answer: Callable[[str, np.ndarray, np.ndarray], np.ndarray],
    apart: Callable[[str, str], bool] = lambda first, second: True,
) -> dict[str, dict[str, float]]:
    """SI-SDR and SDR improvement of each class, over mixtures with every other class.

    answer(class, mixtures (b, 1, n), sources (b, 2, 1, n)) -> (b, 1, n). apart: which pairs count.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for (first, second), sources in tests.items():
        if not apart(first, second):
            continue
        mixture, wanted = sources.sum(1), sources[:, 0]
        made = answer(first, mixture, sources)
        gains = [measure(made, wanted) - measure(mixture, wanted) for measure in (si_sdr, snr)]
        rows.setdefault(first, []).extend(zip(gains[0].ravel(), gains[1].ravel()))
    return {
        name: {"si_sdr": float(np.mean([a for a, _ in row])),
               "sdr": float(np.mean([b for _, b in row]))}
        for name, row in rows.items()
    }  # fmt: skip


def mean_of(table: Mapping[str, Mapping[str, float]], figure: str = "si_sdr") -> float:
    return float(np.mean([row[figure] for row in table.values()]))


def asked_by_name(model: Universal, empty: bool) -> Callable[..., np.ndarray]:
    """Answers of a model that is asked with the names of classes, or with nothing."""

    def answer(name: str, mixture: np.ndarray, sources: np.ndarray) -> np.ndarray:
        condition = model.condition_of_class(name) * (0.0 if empty else 1.0)
        with torch.inference_mode():
            waves = torch.from_numpy(mixture)
            return model.net(waves, condition.expand(len(waves), -1)).numpy()

    return answer


def by_level(model: Universal, tests: Mapping[tuple[str, str], np.ndarray]) -> dict[str, float]:
    """SI-SDR improvement of the hierarchical strategy at levels 1 to 3, without its threshold.

    A mixture counts where its two classes stand under different nodes.
    """
    found = {}
    for level in (1, 2, 3):
        masks = model.hierarchy(level)
        names = list(masks)
        node = {
            label: next((n for n in names if masks[n][k] > 0), "")
            for k, label in enumerate(model.classes)
        }
        follow = model.following(masks, least=0.0).eval()

        def answer(
            name: str,
            mixture: np.ndarray,
            sources: np.ndarray,
            follow: Any = follow,
            place: Mapping[str, str] = node,
            names: Sequence[str] = names,
        ) -> np.ndarray:
            with torch.inference_mode():
                made = follow(torch.from_numpy(mixture))
            return made[:, names.index(place[name])].numpy()

        def apart(first: str, second: str, place: Mapping[str, str] = node) -> bool:
            return bool(place[first]) and place[first] != place[second]

        found[f"level {level}"] = mean_of(by_class(tests, answer, apart))
    return found


def taught(
    tagger: Any,
    mixtures: AnchorMixtures,
    plan: Scale,
    seed: int,
    place: Path,
    progress: Progress = silent,
) -> Universal:
    """The model of an arm; all arms of a seed begin alike."""
    config = universal.Config(
        rate_hz=plan.rate_hz,
        fft_samples=plan.fft_samples,
        hop_samples=plan.hop_samples,
        channels=plan.channels,
        tagger=tagger.config,
        window_s=plan.segment_s,
        momentum=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = with_tagger(universal.build(config), tagger)
    train = SHORT.override(
        steps=plan.steps, lr=plan.lr, warmup_steps=plan.steps // 10, seed=seed,
        eval_every=0, save_every=50, log_every=10,
    )  # fmt: skip
    with_typical(model.eval(), mixtures)
    objective: Any = Pretraining(model)
    Trainer(
        objective,
        lambda learner, batch, generator: learner(batch, generator),
        mixtures,
        place,
        train,
        progress=progress,
    ).run()
    return model.eval()


def examples(
    clips: Clips, plan: Scale, folder: Path, asked: Sequence[tuple[str, str]], seed: int = 0
) -> list[tuple[str, list[np.ndarray], int]]:
    """For pictures: (words, [mixture, what came out, what it was], rate) of held-out mixtures.

    asked: (class asked for, class it is hidden in). folder: where the claim was run; what was
    trained there is taken as it is.
    """
    learned, held = sounding(clips).folds("sound", plan.seeds)[seed]
    weak = weak_clips(learned, ambience(clips), plan, seed)
    place = folder / f"seed{seed}"
    tagger = taught_tagger(weak, plan, seed, place / "tagger")
    mixtures = mixtures_of_arm("mined", weak, learned, tagger, plan, seed)
    answer = asked_by_name(taught(tagger, mixtures, plan, seed, place / "mined"), empty=False)
    tests, found = test_mixtures(held, plan, seed), []
    for pair in asked:
        sources = tests[pair][:1]
        mixture = sources.sum(1)
        made = answer(pair[0], mixture, sources)
        sounds = [mixture[0, 0], made[0, 0], sources[0, 0, 0]]
        found.append((f"{pair[0]}\nout of {pair[1]}", sounds, plan.rate_hz))
    return found


def measured(
    clips: Clips, plan: Scale, folder: Path, progress: Callable[[str], Progress]
) -> list[dict[str, Any]]:
    """For each seed: improvements by arm and class, the oracle, anchors, levels."""
    events, background = sounding(clips), ambience(clips)
    folds = events.folds("sound", plan.seeds)
    found = []
    for seed in range(plan.seeds):
        place = folder / f"seed{seed}"
        if (place / "scores.json").is_file():
            found.append(weights.read_json(place / "scores.json"))
            continue
        learned, held = folds[seed]
        weak = weak_clips(learned, background, plan, seed)
        tagger = taught_tagger(weak, plan, seed, place / "tagger")
        tests = test_mixtures(held, plan, seed)
        samples = round(plan.segment_s * plan.rate_hz)
        # both: what is untouched gains nothing, and what an ideal mask of magnitudes gains
        row: dict[str, Any] = {
            "unprocessed": by_class(tests, lambda _, mixture, __: mixture),
            "oracle": by_class(
                tests,
                lambda _, __, sources: ideal_ratio_mask(sources, plan.fft_samples)[:, 0],
            ),
            "hits": hit_share(weak, anchors(weak.pool, weak.labels, samples, tagger), samples),
        }
        for arm in ARMS:
            mixtures = mixtures_of_arm(arm, weak, learned, tagger, plan, seed)
            told = progress(f"seed {seed}, {arm}")
            model = taught(tagger, mixtures, plan, seed, place / arm.replace(" ", "-"), told)
            row[arm] = by_class(tests, asked_by_name(model, arm == "no condition"))
            if arm == "mined":
                row["levels"] = by_level(model, tests)
        weights.write_json(place / "scores.json", row)
        found.append(row)
    return found


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
    plan: Scale | None = None,
) -> list[tuple[str, Record]]:
    """Improvements from weak labels alone, and beside the other arms. Started again it goes on."""
    began, plan = time.perf_counter(), plan or SCALES[scale]
    clips = open_sets(list(SETS), data_folder)
    rows = measured(clips, plan, folder, progress)
    names = sorted(rows[0]["mined"])
    values = {
        arm: [row[arm][name]["si_sdr"] for row in rows for name in names]
        for arm in (*ARMS, "oracle")
    }
    gain = mean_interval(values["mined"])
    beside = {arm: paired_interval(values["mined"], values[arm]) for arm in ARMS[1:]}
    told = [
        Figure(f"{arm}, SI-SDR improvement", float(np.mean(values[arm])), unit="dB")
        for arm in (*ARMS, "oracle")
    ]
    told += [
        Figure(f"{arm}, SDR improvement", float(np.mean([mean_of(r[arm], "sdr") for r in rows])),
               unit="dB")
        for arm in (*ARMS, "oracle")
    ]  # fmt: skip
    untouched = float(np.mean([mean_of(r["unprocessed"]) for r in rows]))
    told.append(Figure("unprocessed mixture, SI-SDR improvement", untouched, unit="dB"))
    for arm in ("mined", "clean", "oracle"):
        told += [
            Figure(f"{name}, {arm}", float(np.mean([r[arm][name]["si_sdr"] for r in rows])),
                   unit="dB")
            for name in names
        ]  # fmt: skip
    told += [
        Figure(f"hierarchy, {level}", float(np.mean([r["levels"][level] for r in rows])), unit="dB")
        for level in rows[0]["levels"]
    ]
    told.append(Figure("mined anchors on their event", float(np.mean([r["hits"] for r in rows]))))
    found = [
        record("claim", "A network that learned from clip-level labels alone pulls a class that it "
               "is asked for out of mixtures.", "the improvement itself",
               Figure("SI-SDR improvement", gain.mean, gain.low, gain.high, "dB"),
               verdict_of(gain), ("mined",), told, rows, plan),
    ]  # fmt: skip
    sentences = {
        "random": ("claim-anchors", "Anchors that a tagger finds teach separation better than "
                   "segments from anywhere."),
        "no condition": ("claim-condition", "What it is asked for matters: without a condition "
                         "the same network separates less."),
        "clean": ("claim-clean", "Weak labels teach as much as clean sources do."),
    }  # fmt: skip
    for arm, (file, sentence) in sentences.items():
        pair = beside[arm]
        figure = Figure(f"mined minus {arm}", pair.mean, pair.low, pair.high, "dB")
        rest = [f for f in told if f.name.startswith((f"{arm},", "mined,", "oracle,"))]
        found.append(record(file, sentence, f"mined minus {arm}", figure, verdict_of(pair),
                            ("mined", arm), rest, rows, plan))  # fmt: skip
    return finished(found, scale, folder, began)


def record(
    file: str,
    sentence: str,
    what: str,
    first: Figure,
    verdict: Any,
    arms: tuple[str, ...],
    told: Sequence[Figure],
    rows: Sequence[Mapping[str, Any]],
    plan: Scale,
) -> tuple[str, Record]:
    """One record of the claim."""
    classes = sorted(rows[0]["mined"])
    rule = RULE.format(steps=plan.steps, batch=plan.batch, weak_s=plan.weak_s, seeds=plan.seeds,
                       pairs=plan.seeds * len(classes), what=what)  # fmt: skip
    return file, Record(
        system="universal",
        kind="claim",
        sentence=sentence,
        rule=rule,
        verdict=verdict,
        measured=(first, *told),
        paper=PAPER,
        arms=tuple(f"{arm}: {WORDS[arm]}" for arm in arms),
        data=SETS,
        seeds=tuple(range(plan.seeds)),
        details={
            "scale": plan.to_dict(),
            "nodes": {name: getattr(ontology.node_of(name), "name", "") for name in classes},
            "by_seed": list(rows),
        },
    )
