"""What FastSpeech's paper claims: speed against the autoregressive teacher, and control of pace.

Who loses its place (`recipes/speak/robustness.py`) and how good durations are that nobody labelled
(`recipes/speak/boundaries.py`) are parts of the claim in files of their own.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonograph.config import Config
from sonograph.data.corpora import open_sets
from sonograph.metrics.intervals import Interval, mean_interval
from sonograph.nn.acoustic import Text
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished
from sonograph.records import Figure, Record, Verdict
from sonograph.registry import build, preset
from sonograph.systems.speak import fastspeech


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    student: str = "fastspeech"
    teacher: str = "fastspeech-teacher"
    vocoder: str = "hifigan-v1"
    frames: tuple[int, ...] = (100, 200, 400, 800)
    end_to_end: int = 400  # frames, with the vocoder
    uncached: int = 100  # frames of the teacher that computes all past frames anew
    frames_a_token: int = 8
    seeds: int = 5
    texts: int = 50  # whose lengths are compared under other paces
    paces: tuple[float, ...] = (0.5, 0.75, 1.25, 1.5, 2.0)


SCALES = {"cpu": Scale(), "gpu": Scale(seeds=10)}
TIMES = 10.0
WITHIN = 0.02
PAPER = (
    Figure("mel generation, teacher against FastSpeech (V100)", 269.4, unit="times"),
    Figure("end to end with WaveGlow (V100)", 38.3, unit="times"),
)
SPEED_RULE = (
    "Both say the same number of frames from untrained weights of the published sizes (durations "
    "are given to FastSpeech, the teacher does not stop), batch 1, each timed once, in turns, "
    "after an untimed call, over {seeds} seeds of weights and texts; the teacher keeps keys, "
    "values and convolution inputs of past "
    "frames. Shown: at every length the 95 % Student's t interval of the logarithm of the ratio of "
    "times lies above 0, and at {longest} frames it lies above that of {times:g}. Not shown: it "
    "lies below 0 at some length, or below that of {times:g} at {longest} frames. Else "
    "inconclusive."
)
PACE_RULE = (
    "{texts} texts a seed, {seeds} seeds, predicted durations of some seven frames a token, paces "
    "{paces}: shown if no text's length differs by more than {within:.0%} from its length at pace "
    "1 divided by the pace; not shown otherwise."
)


def claim(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """All `CLAIM_PARTS`, one after the other: (name, record) pairs. Started again it goes on."""
    open_sets(["asterisk-en", "festvox-ru"], data_folder)  # what is missing is told at once
    found = (part(scale, folder, data_folder, progress) for part in CLAIM_PARTS.values())
    return [pair for records in found for pair in records]


def speed(
    scale: str, folder: Path, data_folder: Path | None, progress: Callable[[str], Progress]
) -> list[tuple[str, Record]]:
    """Speed against the autoregressive teacher, and control of pace: without any training."""
    return measured_claim(SCALES[scale], scale, folder, progress)


def robustness(
    scale: str, folder: Path, data_folder: Path | None, progress: Callable[[str], Progress]
) -> list[tuple[str, Record]]:
    """Skipped and repeated words on hard sentences, of a pair that is trained for it."""
    from sonograph.recipes.speak.robustness import robustness_records

    return robustness_records(scale, folder / "robustness", data_folder, progress)


def boundaries(
    scale: str, folder: Path, data_folder: Path | None, progress: Callable[[str], Progress]
) -> list[tuple[str, Record]]:
    """Durations that need no aligner from outside, against labelled phones."""
    from sonograph.recipes.speak.boundaries import boundary_records

    return boundary_records(scale, folder / "boundaries", data_folder, progress)


CLAIM_PARTS = {"speed": speed, "robustness": robustness, "boundaries": boundaries}


def measured_claim(
    plan: Scale, scale: str, folder: Path, progress: Callable[[str], Progress]
) -> list[tuple[str, Record]]:
    began = time.perf_counter()
    tell = progress("speed")
    rows = []
    for seed in range(plan.seeds):
        rows.append(race(plan, seed))
        tell(seed + 1, plan.seeds, f"{max(plan.frames)} frames: {rows[-1]['longest']:.1f} times")
    tell = progress("pace")
    off = []
    for seed in range(plan.seeds):
        off.append(pace_errors(plan, seed))
        tell(seed + 1, plan.seeds, f"worst {off[-1]['ours']:.2%}")
    details = {"scale": plan.to_dict(), "threads": torch.get_num_threads()}
    found = [
        ("claim", speed_record(plan, rows, details)),
        ("claim-pace", pace_record(plan, off, details)),
    ]
    return finished(found, scale, folder, began)


def race(plan: Scale, seed: int) -> dict[str, Any]:
    """Seconds of each arm at each length, one after the other."""
    vocoder = build(plan.vocoder, seed=seed).eval()
    student = build(plan.student, seed=seed, features=vocoder.spec).eval()
    teacher = build(plan.teacher, seed=seed, features=vocoder.spec).eval()
    found: dict[str, Any] = {"student": {}, "teacher": {}}
    draw = torch.Generator().manual_seed(seed)
    texts = {frames: _text(plan, frames, student.config.tokens, draw) for frames in plan.frames}

    def by_student(frames: int) -> Tensor:
        text, durations = texts[frames]
        return student(text, durations).refined.transpose(1, 2)

    def by_teacher(frames: int) -> Tensor:
        noise = torch.Generator().manual_seed(seed)
        return teacher.generate(texts[frames][0], frames, False, noise)[0]

    with torch.no_grad():
        by_student(plan.frames[0]), by_teacher(plan.frames[0])  # the first call of a shape is slow
        for frames in plan.frames:
            by_student(frames)  # so is that of every new length
            found["student"][frames] = _seconds(by_student, frames)
            found["teacher"][frames] = _seconds(by_teacher, frames)
        mel = by_student(plan.end_to_end)
        vocoder(mel[:, :, :20])
        found["vocoder"] = _seconds(vocoder, mel)
        text, _ = texts[plan.frames[0]]
        found["uncached"] = _seconds(lambda n: _again_and_again(teacher, text, n), plan.uncached)
    longest = max(plan.frames)
    found["longest"] = found["teacher"][longest] / found["student"][longest]
    return found


def _text(plan: Scale, frames: int, tokens: int, draw: torch.Generator) -> tuple[Text, Tensor]:
    """A text of random tokens, and durations that sum up to `frames`."""
    count = max(1, frames // plan.frames_a_token)
    ids = torch.randint(1, tokens, (1, count), generator=draw)
    cuts = torch.arange(count + 1) * frames // count
    return Text(ids, torch.tensor([count]), torch.arange(count)[None]), cuts.diff()[None]


def _seconds(act: Callable[[Any], Any], argument: Any) -> float:
    began = time.perf_counter()
    act(argument)
    return time.perf_counter() - began


def _again_and_again(teacher: fastspeech.TransformerTTS, text: Text, frames: int) -> None:
    """Every frame by a pass over all before it: what generation costs without a memory."""
    mel = torch.zeros(1, teacher.spec.rows, frames)
    for t in range(1, frames + 1):
        said = teacher(text, mel[:, :, :t], torch.tensor([t]))
        mel[:, :, t - 1] = said.mel[:, -1]


def speed_record(plan: Scale, rows: list[dict[str, Any]], details: dict[str, Any]) -> Record:
    """What the race says, by `SPEED_RULE`."""
    figures, logs = [], {}
    for frames in sorted(plan.frames, reverse=True):
        logs[frames] = mean_interval(
            [math.log(row["teacher"][frames] / row["student"][frames]) for row in rows]
        )
        figures.append(_times(f"mel of {frames} frames, teacher against FastSpeech", logs[frames]))
    n = plan.end_to_end
    whole = mean_interval(
        [
            math.log((row["teacher"][n] + row["vocoder"]) / (row["student"][n] + row["vocoder"]))
            for row in rows
        ]
    )
    figures.append(_times(f"end to end with {plan.vocoder}, {n} frames", whole))
    uncached = mean_interval(
        [math.log(row["uncached"] / row["student"][plan.uncached]) for row in rows]
    )
    figures.append(_times(f"mel of {plan.uncached} frames, teacher without memory", uncached))
    for arm in ("teacher", "student"):
        slopes = [
            1000 * np.polyfit(plan.frames, [row[arm][f] for f in plan.frames], 1)[0] for row in rows
        ]
        slope = mean_interval(slopes)
        figures.append(Figure(f"{arm}, each frame more", slope.mean, slope.low, slope.high, "ms"))
    longest = max(plan.frames)
    far = logs[longest]
    verdict: Verdict = "inconclusive"
    if all(one.low > 0 for one in logs.values()) and far.low > math.log(TIMES):
        verdict = "shown"
    elif any(one.high < 0 for one in logs.values()) or far.high < math.log(TIMES):
        verdict = "not shown"
    seconds = [
        {
            "student": {str(f): round(row["student"][f], 4) for f in plan.frames},
            "teacher": {str(f): round(row["teacher"][f], 4) for f in plan.frames},
            "vocoder": round(row["vocoder"], 4),
            "uncached": round(row["uncached"], 4),
        }
        for row in rows
    ]
    return Record(
        system="fastspeech",
        kind="claim",
        sentence="A mel in one pass comes at least ten times as fast as frame by frame.",
        rule=SPEED_RULE.format(seeds=plan.seeds, longest=longest, times=TIMES),
        verdict=verdict,
        measured=tuple(figures),
        paper=PAPER,
        arms=(plan.student, plan.teacher),
        seeds=tuple(range(plan.seeds)),
        details=details | {"seconds": seconds},
    )


def _times(name: str, logs: Interval) -> Figure:
    return Figure(name, math.exp(logs.mean), math.exp(logs.low), math.exp(logs.high), "times")


def pace_errors(plan: Scale, seed: int) -> dict[str, float]:
    """Largest relative error of a text's length over texts and paces: ours, and by rounding every
    token as the official code does.
    """
    config = preset(plan.student).make()
    assert isinstance(config, fastspeech.Config)
    model = build(plan.student, seed=seed).eval()
    draw = torch.Generator().manual_seed(seed)
    worst = {"ours": 0.0, "each token cut": 0.0}
    with torch.no_grad():
        model.duration.project.bias.fill_(math.log(1 + 7.0))
        for _ in range(plan.texts):
            count = int(torch.randint(10, 80, (), generator=draw))
            ids = torch.randint(1, config.tokens, (1, count), generator=draw)
            text = Text(ids, torch.tensor([count]), torch.arange(count)[None])
            predicted = model.duration(model.encode(text))[..., 0]
            plain = model.frames_of(predicted, text)
            for pace in plan.paces:
                wanted = float(plain.sum()) / pace
                said = model.frames_of(predicted, text, torch.full(ids.shape, pace))
                cut = (plain / pace).floor()
                for name, frames in (("ours", said), ("each token cut", cut)):
                    error = abs(float(frames.sum()) - wanted) / wanted
                    worst[name] = max(worst[name], error)
    return worst


def pace_record(plan: Scale, off: list[dict[str, float]], details: dict[str, Any]) -> Record:
    """What `pace_errors` say, by `PACE_RULE`."""
    worst = {name: max(row[name] for row in off) for name in off[0]}
    return Record(
        system="fastspeech",
        kind="claim",
        sentence="A text spoken at another pace is as much shorter or longer, within 2 %.",
        rule=PACE_RULE.format(
            texts=plan.texts,
            seeds=plan.seeds,
            paces=", ".join(f"{pace:g}" for pace in plan.paces),
            within=WITHIN,
        ),
        verdict="shown" if worst["ours"] <= WITHIN else "not shown",
        measured=(
            Figure("largest error of a length", 100 * worst["ours"], unit="%", goal="at most 2"),
            Figure(
                "the same where every token's length is cut to whole frames (ming024)",
                100 * worst["each token cut"],
                unit="%",
            ),
        ),
        arms=(plan.student,),
        seeds=tuple(range(plan.seeds)),
        details=details,
    )
