"""How FastSpeech is trained, on any corpus of speech with text; its claim of speed and control."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sonograph import weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.corpora import open_sets
from sonograph.metrics.intervals import Interval, mean_interval
from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.nn.monotonic import from_attention
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished
from sonograph.recipes.speak.corpus import (
    Speech,
    SpeechBatches,
    Suspicion,
    encode_with,
    in_order,
    measured_folder,
    suspicious,
)
from sonograph.recipes.speak.left import before_and_after, card_of, write_list
from sonograph.records import Figure, Record, Verdict
from sonograph.registry import build, preset
from sonograph.systems.speak import fastspeech
from sonograph.train.trainer import Summary, TrainConfig, Trainer


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Training of one preset."""

    batch: int = 16
    frames: int = 5000  # the most of one batch, padding counted
    workers: int = 0
    train: TrainConfig = TrainConfig(
        steps=4000,
        lr=1e-3,
        betas=(0.9, 0.98),
        epsilon=1e-9,
        weight_decay=1e-6,
        clip_norm=1.0,
        schedule="cosine",
        warmup_steps=200,
        lr_floor=0.05,
        eval_every=250,
        save_every=250,
        log_every=25,
    )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset: ours of small ones, the published schedules otherwise.

    ming024: Adam, 4,000 updates of warm-up, batch 16, 900,000 updates. NATSpeech: AdamW 5e-4,
    constant after the warm-up, 40,000 frames a batch. The paper's is Noam's curve; the warm-up and
    the rate it reaches at its peak are kept, with a cosine after it.
    """
    if name == "fastspeech-test":
        return Recipe(batch=8).override({"train.steps": 200, "train.eval_every": 50})
    if name == "fastspeech2-mini":
        return Recipe()
    published = {"train.warmup_steps": 4000, "train.eval_every": 1000, "train.save_every": 1000}
    width = preset(name).make().to_dict()["width"]
    peak = width**-0.5 * 4000**-0.5
    if name.startswith("fastspeech2"):
        return Recipe().override(published, **{"train.steps": 900_000, "train.lr": peak})
    if name.startswith("fastspeech-natspeech"):
        more = {"train.steps": 160_000, "train.lr": 5e-4, "train.schedule": "constant"}
        return Recipe(batch=128, frames=40_000).override(published | more)
    return Recipe(batch=64, frames=40_000).override(
        published | {"train.steps": 160_000, "train.lr": peak}
    )


def configured(name: str, speech: Speech) -> fastspeech.Config:
    """A preset with the corpus' own statistics of pitch and energy, and bins that hold them."""
    config = preset(name).make()
    assert isinstance(config, fastspeech.Config)
    found = speech.statistics()
    for field, key in (("pitch", "pitch_hz"), ("energy", "energy")):
        if getattr(config, field).level == "none":
            continue
        mean, deviation = found[key]
        low = max(-mean / deviation, -4.0) if deviation > 0 else -4.0
        config = config.override(
            {
                f"{field}.mean": mean,
                f"{field}.deviation": deviation,
                f"{field}.low": low,
                f"{field}.high": 4.0,
            }
        )
    return config


NEXT = '`sonograph speak "Good morning." -o hello.wav --model {0}`'  # when it is trained


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Summary:
    """The same as `train`, for the verb: the trainer's Summary, with the held-out losses."""
    found = train(name, clips, Path(folder), recipe or recipe_of(name), progress)
    return dataclasses.replace(found["summary"], best=found["after"])


def train(
    name: str,
    clips: Clips,
    folder: Path,
    recipe: Recipe,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a preset on clips with text, into a folder; started again it goes on.

    `folder` holds the run (the objective with its aligner), `folder/voice` the acoustic model,
    `folder/dropped.json` the clips that were left out and why, `folder/suspicious.json` those whose
    transcripts fit their sound badly. Returns held-out losses before and after.
    """
    config = preset(name).make()
    assert isinstance(config, fastspeech.Config)
    speech = Speech.prepare(
        clips,
        config.features,
        encode_with(config.alphabet),
        measured_folder(),
        progress=progress,
    )
    found = _train(name, speech, folder, recipe, progress)
    model, summary = found.pop("model"), found["summary"]
    write_lists(speech, model, folder)
    card = card_of(name, "fastspeech", "FastSpeech", clips, speech, recipe, found["after"], summary)
    weights.describe(folder, model.describe(), card)
    weights.save_folder(folder / "voice", model.acoustic, card)
    return found


def _train(
    name: str, speech: Speech, folder: Path, recipe: Recipe, progress: Progress
) -> dict[str, Any]:
    """One run on a corpus that is ready: held-out losses before and after, model and summary."""
    learned, held_out = speech.part("train"), speech.part("valid")
    torch.manual_seed(recipe.train.seed)
    acoustic = fastspeech.build(configured(name, learned))
    with torch.no_grad():  # begins at the mean spectrum: a third of a short training otherwise
        acoustic.project.bias.copy_(torch.from_numpy(learned.mean_features()))
    model = fastspeech.Pretraining(acoustic)
    measure = measured_on(held_out if len(held_out) else learned, recipe)
    model.eval()
    with torch.no_grad():
        before = measure(model)
    batches = SpeechBatches(learned, recipe.batch, recipe.frames, recipe.train.seed, recipe.workers)
    summary = Trainer(
        model,
        lambda learner, batch, generator: learner(batch, generator),
        batches,
        folder,
        recipe.train,
        measure,
        progress,
        best=None,
    ).run()
    model.eval()
    with torch.no_grad():
        after = measure(model)
    return before_and_after(before, after, summary) | {"model": model, "summary": summary}


def measured_on(speech: Speech, recipe: Recipe) -> Callable[[nn.Module], dict[str, float]]:
    """The losses on held-out clips. They are those of the last stage of training (hard alignment,
    every loss), so that numbers of all stages can be compared.
    """
    kept = list(in_order(speech, recipe.batch, recipe.frames))

    def measure(model: Any) -> dict[str, float]:
        now = model.updates.clone()
        model.updates.fill_(2**31)
        sums: dict[str, float] = {}
        count = sum(len(batch.lengths) for batch in kept)
        for k, batch in enumerate(kept):
            found = model(batch, torch.Generator().manual_seed(k))
            for part, value in found.items():
                sums[part] = sums.get(part, 0.0) + float(value) * len(batch.lengths) / count
        model.updates.copy_(now)
        return sums

    return measure


def scores_of(speech: Speech, model: fastspeech.Pretraining, batch: int = 16) -> np.ndarray:
    """How well text and sound of each clip agree, by the aligner, in the order of `speech`."""
    found = np.empty(len(speech))
    order = sorted(range(len(speech)), key=lambda row: speech.items[row].frames)
    for k in range(0, len(order), batch):
        rows = order[k : k + batch]
        found[rows] = model.durations_of(speech.batch(rows)).score.numpy()
    return found


def suspicions(
    speech: Speech, model: fastspeech.Pretraining, limit: float = 3.0
) -> list[Suspicion]:
    """Transcripts that fit their sound badly, worst first: to be heard and mended, or left out."""
    return suspicious(speech, scores_of(speech, model), limit)


def write_lists(speech: Speech, model: fastspeech.Pretraining, folder: Path) -> None:
    """What was not learned from, and what perhaps should not have been, beside the weights."""
    write_list(folder / "dropped.json", speech.dropped)
    if model.aligner is not None:
        write_list(folder / "suspicious.json", suspicions(speech, model))


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short real training of the smallest preset: what `tests/evidence.py` kills and starts."""
    recipe = recipe_of("fastspeech-test").override({"train.log_every": 1})
    if steps is not None:
        recipe = recipe.override({"train.steps": steps, "train.save_every": max(1, steps // 5)})
    found = train("fastspeech-test", clips, folder, recipe, progress)
    return {name: value for name, value in found.items() if name != "summary"}


# --- teacher and student: FastSpeech as the paper trains it ---------------------------------------


class Taught(Speech):
    """A corpus as a teacher says it: its durations, and its mels in place of the recorded ones.

    Stages B and C of the paper: durations from the head of largest focus rate while the teacher
    reads the recording (section 3.3), mels from the same pass, so that both fit each other.
    """

    def __init__(self, speech: Speech, teacher: fastspeech.TransformerTTS, seed: int = 0):
        super().__init__(speech.spec, speech.items, speech.dropped)
        self.teacher, self.seed = teacher.eval(), seed
        self.kept: dict[str, tuple[Tensor, Tensor, float]] = {}

    @torch.no_grad()
    def listen(self, batch: int = 16, progress: Progress = silent) -> Taught:
        """Let the teacher say every clip; what `batch` then gives is what it said. Returns self."""
        order = sorted(range(len(self)), key=lambda row: self.items[row].frames)
        for k in range(0, len(order), batch):
            rows = order[k : k + batch]
            given = super().batch(rows)
            noise = torch.Generator().manual_seed(self.seed * 1_000_003 + k)
            taught = self.teacher(given.text, given.features, given.lengths, noise)
            found = from_attention(taught.attention, given.lengths, given.text.lengths)
            for place, row in enumerate(rows):
                item = self.items[row]
                frames = found.frames[place, : len(item.ids)].clone()
                mel = taught.refined[place, : item.frames].T.clone()
                self.kept[item.id] = (frames, mel, float(found.score[place]))
            progress(min(k + batch, len(order)), len(order), "the teacher speaks")
        return self

    def focus(self) -> float:
        """Mean focus rate: near 1 where the teacher knows which token each frame says."""
        return float(np.mean([score for _, _, score in self.kept.values()]))

    def batch(self, rows: Sequence[int]) -> SpeechBatch:
        given = super().batch(rows)
        durations = torch.zeros_like(given.text.ids)
        features = given.features.clone()
        for place, row in enumerate(rows):
            frames, mel, _ = self.kept[self.items[row].id]
            durations[place, : len(frames)] = frames
            features[place, :, : mel.shape[1]] = mel
        return given._replace(features=features, durations=durations)


def teach(
    clips: Clips,
    folder: Path,
    teacher: Recipe,
    student: Recipe,
    names: tuple[str, str] = ("fastspeech-teacher-mini", "fastspeech-student-mini"),
    progress: Progress = silent,
) -> dict[str, Any]:
    """The paper's three stages: train the teacher, let it speak, train the student on that.

    `folder/teacher` and `folder/student` are the runs; started again it goes on. Returns held-out
    losses of both (the student's against the teacher's mels), and the teacher's focus rate.
    """
    config = preset(names[0]).make()
    assert isinstance(config, fastspeech.Config)
    encode = encode_with(config.alphabet)
    speech = Speech.prepare(clips, config.features, encode, measured_folder(), progress=progress)
    first = _train(names[0], speech, folder / "teacher", teacher, progress)
    master = first["model"].acoustic
    weights.save_folder(folder / "teacher" / "voice", master, {"name": names[0]})
    taught = Taught(speech, master, teacher.train.seed).listen(progress=progress)
    second = _train(names[1], taught, folder / "student", student, progress)
    weights.save_folder(folder / "student" / "voice", second["model"].acoustic, {"name": names[1]})
    return {
        **{
            who: {key: value for key, value in run.items() if key not in ("model", "summary")}
            for who, run in (("teacher", first), ("student", second))
        },
        "focus_rate": taught.focus(),
    }


# --- the claim ------------------------------------------------------------------------------------


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
