"""What ProDiff's paper claims: clean features or noise, few steps or many, and the student."""

from __future__ import annotations

import dataclasses
import math
import statistics as stats
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.metrics.detail import against
from sonograph.metrics.intervals import mean_interval, paired_interval
from sonograph.nn.diffusion import cosine
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.speak.acoustic import prepared, run
from sonograph.recipes.speak.prodiff.training import SHORT, configured
from sonograph.recipes.speak.timed import Timed, TimedBatches, timed
from sonograph.records import Figure, Record, Verdict
from sonograph.registry import preset
from sonograph.systems.speak import prodiff


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    seeds: int = 3
    aligner_updates: int = 150
    updates: int = 500  # of each arm
    student_updates: int = 100
    batch: int = 4
    frames: int = 250  # of one batch
    held_out: int = 16  # clips at most
    turns: int = 15  # of what is timed, teacher and student in turn
    lr: float = 3e-3
    width: int = 64  # of the text side; one layer of it
    channels: int = 160  # of the denoiser: twice the rows that noise has to pass through
    blocks: int = 2
    many: int = 100  # steps of the patient arm


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        aligner_updates=2000,
        updates=6000,
        student_updates=2000,
        batch=32,
        frames=8000,
        held_out=60,
        lr=1e-3,
        width=128,
        channels=256,
        blocks=8,
    ),
}
CLEAN, NOISE, MANY, FEW, STUDENT, MEAN = (
    "clean features, 4 steps",
    "noise, 4 steps",
    "noise, {many} steps",
    "noise, 4 of {many} steps",
    "student, 2 steps",
    "mean of the corpus",
)
LEARNED = 0.8  # of the mean's error: at most so much has an arm that is said to have learned
NOISE_OFF = math.sqrt(2 / math.pi)  # mean absolute error of saying that there is no noise
LEVEL = 0.05  # of the error: what counts as the same level
DETAIL = 0.1  # of the distance of detail: the same
HALF = 0.6  # of the teacher's time: what counts as half of it
CLIP = 4.0  # deviations: what noise prediction says of clean features is kept within
PAPER = (
    Figure("steps of a student", 2),
    Figure("steps of models on its level", 100, unit="steps or more"),
    Figure("speech on one 2080 Ti, 2 steps", 24, unit="times real time"),
)
SHARED = (
    "The same network, text side and batches for the same number of updates ({updates}); mels of "
    "held-out recordings as said with their durations, pitch and energy. "
)
NOISE_RULE = SHARED + (
    "The 95 % Student's t interval of the mean absolute error with predicted noise (clean features "
    "kept within {clip:g} deviations; of each seed the better of a network that learned 4 steps "
    "and one that learned {many} and takes 4 of them) minus that with predicted clean features at "
    "4 steps, paired over {seeds} seeds, lies above 0: shown; below: not shown; else, or where "
    "an arm has not learned (the error with clean features more than {learned:g} times that of the "
    "corpus's mean; a network's own error of held-out noise more than {learned:g} times that of "
    "saying none): inconclusive."
)
MANY_RULE = SHARED + (
    "The 95 % Student's t interval of the mean absolute error with noise predicted at {many} steps "
    "minus that with clean features at 4, paired over {seeds} seeds, lies above minus {level:.0%} "
    "of the former, and the distance of detail (absolute logarithm of the deviation of the "
    "Laplacian by the recordings') with 4 steps is at most {detail:g} more than with {many}: "
    "shown; the interval lies below, or the detail is further off: not shown; else, or where noise "
    "at {many} steps has not learned (more than {learned:g} times the error of the corpus's "
    "mean): inconclusive."
)
STUDENT_RULE = SHARED + (
    "The student, {student} updates more: the 95 % Student's t interval over {seeds} seeds of "
    "{more:g} times its teacher's mean absolute error minus its own lies above 0, and that of its "
    "time for the mels by its teacher's below {half:g}: shown; one of both lies wholly on the "
    "other side: not shown; else inconclusive."
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Clean features or noise, at few and at many steps, and the student. Goes on if restarted."""
    return measured(SCALES[scale], scale, folder, data_folder, progress)


def measured(
    plan: Scale,
    scale: str,
    folder: Path,
    data_folder: Path | None,
    progress: Callable[[str], Progress],
) -> list[tuple[str, Record]]:
    began = time.perf_counter()
    clips = open_sets(["asterisk-en"], data_folder)
    told = tuple(row["source"] for row in data_of(clips))
    scores = compared(clips, plan, folder, progress)
    found = [
        ("claim", noise_record(scores, plan, told)),
        ("claim-many", many_record(scores, plan, told)),
        ("claim-student", student_record(scores, plan, told)),
    ]
    return finished(found, scale, folder, began)


Scores = dict[str, dict[str, list[float]]]


def arms_of(plan: Scale) -> tuple[str, ...]:
    return tuple(name.format(many=plan.many) for name in (CLEAN, NOISE, MANY, FEW, STUDENT, MEAN))


def compared(
    clips: Clips, plan: Scale, folder: Path, progress: Callable[[str], Progress]
) -> Scores:
    """Of each arm, a value a seed: error, detail, its distance, seconds."""
    config = preset("prodiff-mini").make()
    assert isinstance(config, prodiff.Config)
    speech = prepared(config, clips, progress("measuring"))
    corpus = timed(
        speech,
        config.tokens,
        plan.aligner_updates,
        2 * plan.batch,
        2 * plan.frames,
        folder / "aligner",
        progress("aligning"),
    )
    learned, kept = corpus.part("train"), corpus.held_out(plan.held_out)
    base = configured("prodiff-mini", corpus.only(learned)).override(
        {
            "width": plan.width,
            "encoder_depth": 1,
            "channels": plan.channels,
            "blocks": plan.blocks,
            "alignment.source": "given",
        }
    )
    clean, noise, many, few, student, mean = arms_of(plan)
    guess = corpus.only(learned).mean_features()
    scores: Scores = {}
    for seed in range(plan.seeds):
        batches = TimedBatches(corpus, learned, plan.batch, plan.frames, seed)
        ways = {
            clean: base,
            noise: base.override({"prediction": "noise", "clip": CLIP}),
            many: base.override(
                {
                    "prediction": "noise",
                    "clip": CLIP,
                    "teacher_steps": plan.many,
                    "betas": tuple(cosine(plan.many + 1).betas.tolist()),
                }
            ),
        }
        arms: dict[str, Any] = {}
        for number, (name, config) in enumerate(ways.items()):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                objective = prodiff.Pretraining(prodiff.build(config))
            place = folder / f"arm{number}-{seed}"
            taught(objective, batches, plan.updates, plan.lr, place, seed,
                   progress(f"{name}, seed {seed}"))  # fmt: skip
            arms[name] = objective.eval()
        follower = prodiff.Distillation(prodiff.student_of(arms[clean].acoustic), arms[clean])
        taught(follower, batches, plan.student_updates, plan.lr / 4, folder / f"student-{seed}",
               seed, progress(f"{student}, seed {seed}"))  # fmt: skip
        arms[student] = follower.eval()
        found = {name: said_by(arm, corpus, kept, plan, seed) for name, arm in arms.items()}
        short = arms[many].acoustic.schedule.times(4)
        found[few] = said_by(arms[many], corpus, kept, plan, seed, short)
        both = (clean, student)
        spent = seconds_of([arms[name] for name in both], corpus, kept, plan.turns)
        for name, seconds in zip(both, spent):
            found[name]["seconds"] = seconds
        found[mean] = means_of(
            [
                against(np.repeat(guess[:, None], real.shape[1], 1), real)
                for real in (corpus.batch([row]).features[0].numpy() for row in kept)
            ]
        )
        for name, values in found.items():
            for key, value in values.items():
                scores.setdefault(name, {}).setdefault(key, []).append(value)
    return scores


def taught(
    objective: nn.Module,
    batches: Any,
    steps: int,
    lr: float,
    folder: Path,
    seed: int,
    progress: Progress,
) -> None:
    """The same for all arms: AdamW with a short warm-up and a cosine."""
    plan = SHORT.override(
        steps=steps, seed=seed, lr=lr, warmup_steps=min(20, steps), eval_every=0, save_every=100
    )
    run(objective, batches, folder, plan, progress)


@torch.no_grad()
def said_by(
    arm: prodiff.Pretraining,
    corpus: Timed,
    rows: Sequence[int],
    plan: Scale,
    seed: int,
    levels: Sequence[int] | None = None,
) -> dict[str, float]:
    """What one arm makes of held-out recordings, means over them.

    levels: as in `ProDiff.sample`.
    """
    model, batch = arm.acoustic, corpus.batch(rows)
    assert batch.durations is not None
    read, _, _ = arm.read(batch, batch.durations)
    noises = model.noises(read, torch.Generator().manual_seed(seed))
    features = model.sample(read, noises, levels)
    found = [
        against(features[k, :, :t].numpy(), batch.features[k, :, :t].numpy())
        for k, t in enumerate(batch.lengths.tolist())
    ]
    values = means_of(found)
    if model.config.prediction == "noise":  # several draws of level and noise for each clip
        draws = [arm.parts(batch, torch.Generator().manual_seed(k))["noise"] for k in range(4)]
        values["noise"] = float(torch.stack(draws).mean())
    return values


@torch.no_grad()
def seconds_of(
    arms: Sequence[prodiff.Pretraining], corpus: Timed, rows: Sequence[int], turns: int
) -> list[float]:
    """Of each arm the median time for the mels of all clips at once; arms take turns."""
    batch = corpus.batch(rows)
    assert batch.durations is not None
    read, _, _ = arms[0].read(batch, batch.durations)
    noise = arms[0].acoustic.noises(read, torch.Generator().manual_seed(0))()
    found: list[list[float]] = [[] for _ in arms]
    for turn in range(turns + 1):
        for arm, times in zip(arms, found):
            began = time.perf_counter()
            arm.acoustic.sample(read, lambda: noise)
            if turn:  # the first one warms up
                times.append(time.perf_counter() - began)
    return [stats.median(times) for times in found]


def means_of(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over clips, and the distance of their detail from that of the recordings."""
    means = {key: stats.mean(one[key] for one in found) for key in found[0]}
    return means | {"distance": abs(math.log(max(means["detail"], 1e-6)))}


def rows_of(scores: Scores) -> list[Figure]:
    words = {
        "error": "mean absolute error of the mel",
        "detail": "detail by the recordings'",
        "noise": "its own error of noise",
    }
    return [
        Figure(f"{name}, {said}", stats.mean(values[key]))
        for name, values in scores.items()
        for key, said in words.items()
        if key in values
    ]


def mean_of(scores: Scores, name: str, key: str = "error") -> float:
    return stats.mean(scores[name][key])


def told(plan: Scale, rule: str) -> str:
    return rule.format(
        updates=plan.updates,
        seeds=plan.seeds,
        clip=CLIP,
        learned=LEARNED,
        many=plan.many,
        level=LEVEL,
        detail=DETAIL,
        student=plan.student_updates,
        more=1 + LEVEL,
        half=HALF,
    )


def record_of(
    plan: Scale,
    scores: Scores,
    data: tuple[str, ...],
    sentence: str,
    rule: str,
    verdict: Verdict,
    figures: Sequence[Figure],
) -> Record:
    return Record(
        system="prodiff",
        kind="claim",
        sentence=sentence,
        rule=told(plan, rule),
        verdict=verdict,
        measured=(*figures, *rows_of(scores)),
        paper=PAPER,
        arms=arms_of(plan),
        data=data,
        seeds=tuple(range(plan.seeds)),
        details={"scale": plan.to_dict(), "scores": scores},
    )


def noise_record(scores: Scores, plan: Scale, data: tuple[str, ...]) -> Record:
    few = arms_of(plan)[3]
    best = [min(pair) for pair in zip(scores[NOISE]["error"], scores[few]["error"])]
    gain = paired_interval(best, scores[CLEAN]["error"])
    verdict = verdict_of(gain)
    learned = [mean_of(scores, name, "noise") / NOISE_OFF for name in (NOISE, few)]
    if max(mean_of(scores, CLEAN) / mean_of(scores, MEAN), *learned) > LEARNED:
        verdict = "inconclusive"
    return record_of(
        plan,
        scores,
        data,
        "At four steps a network that says clean mels comes nearer than one that says noise.",
        NOISE_RULE,
        verdict,
        [
            Figure(
                f"the better {NOISE}, minus {CLEAN}, mean absolute error",
                gain.mean,
                gain.low,
                gain.high,
            )
        ],
    )


def many_record(scores: Scores, plan: Scale, data: tuple[str, ...]) -> Record:
    many = arms_of(plan)[2]
    gain = paired_interval(scores[many]["error"], scores[CLEAN]["error"])
    verdict = verdict_of(gain, LEVEL * mean_of(scores, many))
    further = mean_of(scores, CLEAN, "distance") - mean_of(scores, many, "distance")
    if verdict == "shown" and further > DETAIL:
        verdict = "not shown"
    if mean_of(scores, many) > LEARNED * mean_of(scores, MEAN):
        verdict = "inconclusive"
    return record_of(
        plan,
        scores,
        data,
        f"Four steps that say clean mels are on the level of {plan.many} that say noise.",
        MANY_RULE,
        verdict,
        [
            Figure(f"{many} minus {CLEAN}, mean absolute error", gain.mean, gain.low, gain.high),
            Figure(f"{CLEAN}, distance of detail further off", further),
        ],
    )


def student_record(scores: Scores, plan: Scale, data: tuple[str, ...]) -> Record:
    teacher, student = scores[CLEAN], scores[STUDENT]
    near = paired_interval([(1 + LEVEL) * error for error in teacher["error"]], student["error"])
    share = mean_interval([a / b for a, b in zip(student["seconds"], teacher["seconds"])])
    verdict: Verdict = "inconclusive"
    if near.low > 0 and share.high < HALF:
        verdict = "shown"
    elif near.high < 0 or share.low > HALF:
        verdict = "not shown"
    ratio = mean_interval([a / b for a, b in zip(student["error"], teacher["error"])])
    return record_of(
        plan,
        scores,
        data,
        "A student of two steps is on its teacher's level in half the time.",
        STUDENT_RULE,
        verdict,
        [
            Figure("student to teacher, mean absolute error", ratio.mean, ratio.low, ratio.high,
                   "times"),
            Figure("student to teacher, time", share.mean, share.low, share.high, "times"),
        ],
    )  # fmt: skip
