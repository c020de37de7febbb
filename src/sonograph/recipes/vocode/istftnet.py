"""iSTFTNet beside HiFi-GAN: a short training, and the paper's claim of speed at equal quality."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sonograph import registry
from sonograph.audio.feature_spec import Frontend
from sonograph.audio.speech_features import voice_spec
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.infer.vocode import vocoder_of
from sonograph.metrics.intervals import mean_interval, paired_interval
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished, verdict_of
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.vocode.training import ADVERSARIAL, Plan, train_vocoder
from sonograph.records import Figure, Record, Verdict
from sonograph.systems.vocode import istftnet
from sonograph.train.trainer import Summary

NEXT = "`sonograph vocode SOUND -o OUT.wav --model {0}`"  # what to try when it is trained
SHORT = Plan(
    batch=4,
    held_out_batches=2,
    regression_steps=0,
    train=ADVERSARIAL.override(
        steps=80, eval_every=40, save_every=5, log_every=1, lr=1e-3, betas=(0.8, 0.99)
    ),
)


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short adversarial training of the small preset; started again it goes on."""
    plan = SHORT if steps is None else SHORT.override({"train.steps": steps})
    return train_vocoder(registry.build("istftnet-test"), clips, folder, plan, progress).told()


def recipe_of(name: str) -> Plan:
    """The plan that belongs to a preset: HiFi-GAN's, but for the small ones of the house."""
    if name == "istftnet-test":
        return SHORT
    if name == "istftnet-voice":
        return Plan(regression_steps=4000)
    return Plan(regression_steps=0, train=ADVERSARIAL.override(steps=2_500_000, save_every=1000))


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Plan | None = None,
    progress: Progress = silent,
) -> Summary:
    """Train a preset on speech into a folder; started again it goes on."""
    recipe = recipe or recipe_of(name)
    vocoder = registry.build(name, seed=recipe.train.seed)
    vocoder.name = name
    return train_vocoder(vocoder, clips, Path(folder), recipe, progress).summary


# --- the claim -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    seeds: int = 3
    seconds: float = 4.0  # of real speech that is turned into sound
    turns: int = 5  # of timing
    channels: int = 32  # of the generators that are trained: a quarter of V2's
    updates: int = 150
    batch: int = 8
    held_out_batches: int = 6
    adversarial: int = 0  # updates against discriminators after those


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(channels=128, updates=2000, batch=64, adversarial=4000),
}
LEAST = 1.3  # of the ratio of speeds
MARGIN = 0.05  # of the mel distance (natural log) by which quality counts as equal
PAPER = (
    Figure("V1, CPU", 1.34, unit="times real time"),
    Figure("V1-C8C8I, CPU", 2.33, unit="times real time"),
    Figure("V1, MOS", 4.22),
    Figure("V1-C8C8I, MOS", 4.26),
    Figure("V1-C8I, MOS", 3.32),
)
SPEED_RULE = (
    "The 95 % Student's t interval, over {seeds} draws of weights, of the ratio of HiFi-GAN V1's "
    "seconds to V1-C8C8I's for the same mel (weight norm folded, medians of {turns} alternating "
    "turns) lies above {least}: shown; below: not shown; else inconclusive."
)
QUALITY_RULE = (
    "Generators of equal widths learn from the same crops for the same number of updates. The 95 % "
    "Student's t interval of HiFi-GAN's minus {name}'s held-out mel distance, paired over {seeds} "
    "seeds, lies above {bound}: shown; below: not shown; else inconclusive."
)
TIMED = ("hifigan-v1", "istftnet-v1-c8c8i", "istftnet-v1-c8i", "hifigan-v2", "istftnet-v2-c8c8i",
         "hifigan-v3", "istftnet-v3-c8c8i")  # fmt: skip


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """Speed at full size, and quality of short equal trainings. Started again it goes on."""
    began, plan = time.perf_counter(), SCALES[scale]
    clips = open_sets(["asterisk-en"], data_folder)
    told = tuple(row["source"] for row in data_of(clips))
    seeds = tuple(range(plan.seeds))
    seconds = timed(clips, plan, progress("speed"))
    found = [("claim", speed_record(seconds, plan, told, seeds))]
    distances = learned(clips, plan, folder, progress)
    for name, file in (("C8C8I", "claim-quality"), ("C8I", "claim-c8i")):
        found.append((file, quality_record(name, distances, plan, told, seeds)))
    return finished(found, scale, folder, began)


def timed(clips: Clips, plan: Scale, progress: Progress) -> dict[str, list[float]]:
    """Seconds of each full-size generator, for each draw of weights, on all threads."""
    longest = max(clips, key=lambda clip: clip.duration_s)
    sound = torch.from_numpy(longest.read(22050)[: round(plan.seconds * 22050)])[None]
    features = Frontend(istftnet.hifigan_spec())(sound).values
    seconds: dict[str, list[float]] = {name: [] for name in TIMED}
    for seed in range(plan.seeds):
        vocoders = {name: vocoder_of(registry.build(name, seed=seed)) for name in TIMED}
        turns: dict[str, list[float]] = {name: [] for name in TIMED}
        with torch.inference_mode():
            for turn in range(plan.turns + 1):  # the first one warms up
                for name, vocoder in vocoders.items():
                    began = time.perf_counter()
                    vocoder(features)
                    if turn:
                        turns[name].append(time.perf_counter() - began)
                progress(seed * (plan.turns + 1) + turn, plan.seeds * (plan.turns + 1), "")
        for name, values in turns.items():
            seconds[name].append(statistics.median(values))
    return seconds


def speed_record(
    seconds: dict[str, list[float]], plan: Scale, data: tuple[str, ...], seeds: tuple[int, ...]
) -> Record:
    ratios = [a / b for a, b in zip(seconds["hifigan-v1"], seconds["istftnet-v1-c8c8i"])]
    ratio = mean_interval(ratios)
    verdict: Verdict = "inconclusive"
    if ratio.low > LEAST:
        verdict = "shown"
    elif ratio.high < LEAST:
        verdict = "not shown"
    rows = [
        Figure(f"{name}, {torch.get_num_threads()} threads", plan.seconds / statistics.mean(values),
               unit="times real time")
        for name, values in seconds.items()
    ]  # fmt: skip
    return Record(
        system="istftnet",
        kind="claim",
        sentence="C8C8I is at least 1.3 times as fast as HiFi-GAN V1 on a CPU.",
        rule=SPEED_RULE.format(seeds=plan.seeds, turns=plan.turns, least=LEAST),
        verdict=verdict,
        measured=(
            Figure("V1-C8C8I to V1", ratio.mean, ratio.low, ratio.high, "times as fast"),
            *rows,
        ),
        paper=PAPER,
        arms=("istftnet-v1-c8c8i", "hifigan-v1"),
        data=data,
        seeds=seeds,
        details={"scale": plan.to_dict(), "seconds": seconds},
    )


def arms(plan: Scale) -> dict[str, istftnet.Config]:
    """The generators that are trained: one trunk, three heads."""
    base = istftnet.Config(
        features=voice_spec(), channels=plan.channels, critics=istftnet.SMALL_CRITICS
    )
    return {
        "HiFi-GAN": base,
        "C8C8I": istftnet.inverse(base, (8, 8), (16, 16)),
        "C8I": istftnet.inverse(base, (8,), (16,)),
    }


def learned(
    clips: Clips, plan: Scale, folder: Path, progress: Callable[[str], Progress]
) -> dict[str, list[float]]:
    """Held-out mel distance of each arm, for each seed."""
    distances: dict[str, list[float]] = {name: [] for name in arms(plan)}
    for seed in range(plan.seeds):
        train = ADVERSARIAL.override(
            steps=max(1, plan.adversarial), seed=seed, eval_every=0, save_every=100
        )
        short = Plan(
            plan.batch, held_out_batches=plan.held_out_batches, regression_steps=plan.updates,
            adversarial=plan.adversarial > 0, train=train,
        )  # fmt: skip
        for name, config in arms(plan).items():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                vocoder = istftnet.build(config)
            place = folder / f"{name}-{seed}"
            found = train_vocoder(vocoder, clips, place, short, progress(f"{name}, seed {seed}"))
            distances[name].append(found.after["mel"])
    return distances


def quality_record(
    name: str,
    distances: dict[str, list[float]],
    plan: Scale,
    data: tuple[str, ...],
    seeds: tuple[int, ...],
) -> Record:
    """C8C8I is on HiFi-GAN's level (within MARGIN); C8I is behind it."""
    level = name == "C8C8I"
    gain = paired_interval(distances["HiFi-GAN"], distances[name])
    if level:
        verdict = verdict_of(gain, MARGIN)
        sentence = "Equally trained, C8C8I's sound is as near to speech as HiFi-GAN's."
        rule = QUALITY_RULE.format(name=name, seeds=plan.seeds, bound=-MARGIN)
    else:
        behind = paired_interval(distances[name], distances["HiFi-GAN"])
        verdict = verdict_of(behind)
        sentence = "Equally trained, C8I's sound is further from speech than HiFi-GAN's."
        rule = QUALITY_RULE.format(name=name, seeds=plan.seeds, bound=0).replace("above", "below")
        rule = rule.replace("; below: not shown", "; above: not shown")
    rows = [
        Figure(f"{arm}, held-out mel distance", statistics.mean(values))
        for arm, values in distances.items()
    ]
    return Record(
        system="istftnet",
        kind="claim",
        sentence=sentence,
        rule=rule,
        verdict=verdict,
        measured=(Figure(f"HiFi-GAN minus {name}", gain.mean, gain.low, gain.high), *rows),
        paper=PAPER[2:],
        arms=tuple(distances),
        data=data,
        seeds=seeds,
        details={"scale": plan.to_dict(), "distances": distances},
    )
