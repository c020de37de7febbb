"""How far durations that nobody labelled lie from labelled ones: a claim of FastSpeech's page.

Durations come by one interface (`nn/monotonic.py`) from three sources that need no aligner from
outside: the learned aligner, CTC forced alignment, a teacher's attention. Each learns from
sentences and their phones alone, and is asked for the boundaries of sentences that it never heard;
beside them stand two that hear nothing, division into equal parts and by the phones' mean lengths.

Pauses: those of the labels are tokens of their own, as punctuation is in a voice; neighbouring ones
are one. Silence at both ends of a recording is cut as for every corpus, and the labels with it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from sonograph.audio.speech_features import voice_spec
from sonograph.config import Config
from sonograph.data.clips import Clip, Clips
from sonograph.data.corpora import open_corpus
from sonograph.data.phones import PAUSE, Phones, phones_of
from sonograph.errors import InputError
from sonograph.metrics.boundaries import BoundaryError, error_of, offsets_ms
from sonograph.metrics.intervals import mean_interval, paired_interval
from sonograph.nn.acoustic import SpeechBatch
from sonograph.nn.alignment import AlignerAlone
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished
from sonograph.recipes.speak.acoustic import run
from sonograph.recipes.speak.corpus import Speech, SpeechBatches, measured_folder
from sonograph.recipes.speak.listener import Listener, listen
from sonograph.records import Figure, Record, Verdict
from sonograph.systems.speak import fastspeech
from sonograph.train.trainer import TrainConfig

CORPUS = "festvox-ru"
ALIGNER, FORCED, ATTENTION = "learned aligner", "CTC forced alignment", "teacher's attention"
EQUAL, MEANS = "equal parts", "mean lengths"
ROUNDED = "labels, in whole frames"


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the report is; everything is fixed before a run."""

    seeds: int = 3  # each with its own sentences held out
    longest_s: float = 12.0  # of a sentence; longer ones are left out
    batch: int = 8
    frames: int = 4000  # of one batch, padding counted
    lr: float = 2e-3
    width: int = 128
    aligner_updates: int = 400
    binarised: float = 0.5  # of the aligner's updates pass before binarisation joins
    listener_updates: int = 300
    teacher_updates: int = 0  # 0: attention is not measured


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(
        batch=32, frames=16_000, aligner_updates=4000, listener_updates=4000, teacher_updates=10_000
    ),
}
WITHIN_MS, MOST = 20, 0.5
SENTENCES = {
    ALIGNER: "Without labels the learned aligner puts most boundaries of phones within 20 ms of "
    "labelled ones.",
    FORCED: "Without labels CTC forced alignment puts most boundaries of phones within 20 ms of "
    "labelled ones.",
    ATTENTION: "Without labels a teacher's attention puts most boundaries of phones within 20 ms "
    "of labelled ones.",
}
RULE = (
    "{source}, taught by {updates} updates on sentences of at most {longest:g} s with their "
    "sequences of phones (labelled pauses as tokens of their own) and never a time, says where the "
    "phones of held-out sentences end; {seeds} seeds, each with other sentences held out. Shown: "
    "the 95 % Student's t interval of the share of boundaries within {within} ms lies above "
    "{most:.0%}, and that of the mean error of division by the phones' mean lengths minus its own "
    "above 0. Not shown: the first lies below {most:.0%} or the second below 0. Else inconclusive."
)
ABOUT_LABELS = (
    "Labelled ends lie on a grid of 10 ms and no phone lasts less than 30 ms: an aligner's work "
    "too, it seems, whose errors count here as the sources'. Frames are of 16 ms."
)

ABOUT_LISTENER = (
    "The best of three starts by its training loss. A first measurement with one start each left "
    "one seed of three in the state where all is blank: mean errors of 26, 1094 and 25 ms."
)

# --- a corpus with labels -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """Recordings whose tokens are their labelled phones.

    ends_s: by id, where each token but the last ends, in seconds of the trimmed recording.
    symbols: the phones; number k of a token is the phone k - 1.
    """

    speech: Speech
    ends_s: Mapping[str, Float64[np.ndarray, " n_less_1"]]
    symbols: tuple[str, ...]

    def durations_s(self, row: int) -> Float64[np.ndarray, " n"]:
        """How long each token of a clip lasts by its labels."""
        item = self.speech.items[row]
        whole = item.frames / self.speech.spec.frame_rate_hz
        return np.diff(np.r_[0.0, self.ends_s[item.id], whole])


def labelled(
    clips: Clips,
    folder: Path,
    longest_s: float,
    labels: Callable[[Clip], Phones] = phones_of,
    progress: Progress = silent,
) -> Labelled:
    """The clips made ready, with their phones as tokens."""
    found = {clip.id: joined(labels(clip)) for clip in clips}
    symbols = tuple(sorted({name for phones in found.values() for name in phones.names}))
    number = {name: k for k, name in enumerate(symbols, 1)}

    def encode(clip: Clip) -> tuple[Sequence[int], Sequence[int]]:
        names = found[clip.id].names
        return [number[name] for name in names], list(range(len(names)))

    speech = Speech.prepare(clips, voice_spec(), encode, folder, longest_s, progress)
    ends = {}
    for item in speech.items:
        whole = item.frames / speech.spec.frame_rate_hz
        ends[item.id] = np.clip(found[item.id].ends_s[:-1] - item.start_s, 0.0, whole)
    return Labelled(speech, ends, symbols)


def joined(phones: Phones) -> Phones:
    """Neighbouring pauses as one: nobody can hear where one silence ends and the next begins."""
    kept = [
        k
        for k, name in enumerate(phones.names)
        if not (name == PAUSE and k + 1 < len(phones.names) and phones.names[k + 1] == PAUSE)
    ]
    return Phones(tuple(phones.names[k] for k in kept), phones.ends_s[kept])


# --- the sources ----------------------------------------------------------------------------------

Source = Callable[[SpeechBatch], Int64[Tensor, "b n"]]  # frames of each token


def equal_parts(batch: SpeechBatch) -> Int64[Tensor, "b n"]:
    """Every token of a clip as long as the others."""
    return divided(batch, batch.text.mask.double())


def by_means(means_s: Float64[Tensor, " tokens"]) -> Source:
    """Every token as long as its phone is on average, scaled to the clip."""
    return lambda batch: divided(batch, means_s[batch.text.ids] * batch.text.mask)


def divided(batch: SpeechBatch, weights: Float64[Tensor, "b n"]) -> Int64[Tensor, "b n"]:
    """The frames of each clip shared out by weight; ends are rounded."""
    shares = weights.cumsum(1) / weights.sum(1, keepdim=True)
    ends = (shares * batch.lengths[:, None]).round().long()
    return ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))


def by_labels(corpus: Labelled, row: int) -> Int64[np.ndarray, " n"]:
    """The labels themselves in whole frames: as near as a source of durations can come."""
    item = corpus.speech.items[row]
    ends = np.round(corpus.ends_s[item.id] * corpus.speech.spec.frame_rate_hz).astype(np.int64)
    return np.diff(np.r_[0, ends, item.frames])


def mean_lengths(corpus: Labelled, rows: Sequence[int]) -> Float64[Tensor, " tokens"]:
    """How long each phone lasts on average in these clips, by its labels, in seconds."""
    sums, counts = np.zeros(len(corpus.symbols) + 1), np.zeros(len(corpus.symbols) + 1)
    for row in rows:
        ids = np.array(corpus.speech.items[row].ids)
        np.add.at(sums, ids, corpus.durations_s(row))
        np.add.at(counts, ids, 1)
    whole = sums.sum() / counts.sum()  # for a phone that these clips never have
    return torch.from_numpy(np.where(counts > 0, sums / np.maximum(counts, 1), whole))


def offsets_of(
    corpus: Labelled, rows: Sequence[int], source: Source, batch: int = 8
) -> list[Float64[np.ndarray, " n_less_1"]]:
    """How much later than labelled each boundary of each of these clips lies, in ms."""
    speech, found = corpus.speech, {}
    order = sorted(rows, key=lambda row: speech.items[row].frames)
    for k in range(0, len(order), batch):
        given = speech.batch(order[k : k + batch])
        said = source(given).numpy()
        for row, durations, count in zip(order[k:], said, given.text.lengths.tolist()):
            ends = corpus.ends_s[speech.items[row].id]
            found[row] = offsets_ms(durations[:count], ends, speech.spec.frame_rate_hz)
    return [found[row] for row in rows]


def taught(
    corpus: Labelled,
    rows: Sequence[int],
    plan: Scale,
    seed: int,
    folder: Path,
    progress: Callable[[str], Progress],
) -> dict[str, Source]:
    """Every source, taught by these clips; started again on the folder it goes on."""
    speech = Speech(corpus.speech.spec, [corpus.speech.items[row] for row in rows], ())
    tokens = len(corpus.symbols) + 1
    mean, deviation = speech.moments()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        later = round(plan.binarised * plan.aligner_updates)
        aligner = AlignerAlone(tokens, speech.spec.rows, plan.width, later)
        teacher = teacher_of(tokens, mean)

    def teach(name: str, place: str, steps: int, model: nn.Module) -> None:
        config = TrainConfig(
            steps=steps, seed=seed, lr=plan.lr, clip_norm=1.0, warmup_steps=min(20, steps),
            lr_floor=0.05, save_every=200, log_every=25,
        )  # fmt: skip
        batches = SpeechBatches(speech, plan.batch, plan.frames, seed)
        run(model, batches, folder / place, config, progress(f"{name}, seed {seed}"))
        model.eval()

    teach(ALIGNER, "aligner", plan.aligner_updates, aligner)
    listener = listen(
        lambda: Listener(tokens, mean, deviation, plan.width),
        SpeechBatches(speech, plan.batch, plan.frames, seed),
        plan.listener_updates,
        seed,
        folder / "listener",
        progress(f"{FORCED}, seed {seed}"),
    )
    found: dict[str, Source] = {
        ALIGNER: lambda batch: aligner.durations(batch).frames,
        FORCED: lambda batch: listener.durations(batch).frames,
    }
    if plan.teacher_updates:
        teach(ATTENTION, "teacher", plan.teacher_updates, teacher)
        acoustic: Any = teacher.acoustic
        found[ATTENTION] = lambda batch: (
            acoustic.durations(
                batch.text, batch.features, batch.lengths, torch.Generator().manual_seed(seed)
            ).frames
        )
    found[MEANS] = by_means(mean_lengths(corpus, rows))
    return found | {EQUAL: equal_parts}


def teacher_of(tokens: int, mean: Tensor) -> fastspeech.Pretraining:
    """The autoregressive teacher for these tokens; it begins at the mean spectrum."""
    config = fastspeech.autoregressive_mini().override({"tokens": tokens})
    model = fastspeech.Pretraining(fastspeech.build(config))
    with torch.no_grad():
        model.acoustic.project.bias.copy_(mean)
    return model


# --- the report -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Heard:
    """What a source came to on the held-out clips of one seed."""

    offsets: Float64[np.ndarray, " boundaries"]  # ms, later than labelled
    at_pause: Bool[np.ndarray, " boundaries"]  # a pause on one side of it

    @property
    def error(self) -> BoundaryError:
        return error_of(self.offsets)


def boundary_records(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """The report, a record for each source that learns. Started again it goes on."""
    clips = open_corpus(CORPUS, data_folder)
    plan = SCALES[scale]
    began = time.perf_counter()
    corpus = labelled(clips, measured_folder(), plan.longest_s, progress=progress("measuring"))
    found = reported(corpus, plan, folder, progress)
    return finished(records_of(found, plan, corpus), scale, folder, began)


def reported(
    corpus: Labelled, plan: Scale, folder: Path, progress: Callable[[str], Progress]
) -> dict[str, list[Heard]]:
    """What every source came to, seed by seed."""
    found: dict[str, list[Heard]] = {}
    pause = corpus.symbols.index(PAUSE) + 1 if PAUSE in corpus.symbols else 0
    for seed in range(plan.seeds):
        learned, held_out = parts_of(corpus, seed)
        sources = taught(corpus, learned, plan, seed, folder / f"seed{seed}", progress)
        ids = [np.array(corpus.speech.items[row].ids) for row in held_out]
        at_pause = np.concatenate([(row[1:] == pause) | (row[:-1] == pause) for row in ids])
        for name, source in sources.items():
            offsets = np.concatenate(offsets_of(corpus, held_out, source))
            found.setdefault(name, []).append(Heard(offsets, at_pause))
        ends = [corpus.ends_s[corpus.speech.items[row].id] for row in held_out]
        rate = corpus.speech.spec.frame_rate_hz
        best = [offsets_ms(by_labels(corpus, row), end, rate) for row, end in zip(held_out, ends)]
        found.setdefault(ROUNDED, []).append(Heard(np.concatenate(best), at_pause))
    return found


def parts_of(corpus: Labelled, seed: int) -> tuple[list[int], list[int]]:
    """The rows that are learned from and those that are asked for: the parts of this seed."""
    rows = {item.id: row for row, item in enumerate(corpus.speech.items)}
    learned, held_out = (
        [rows[item.id] for item in corpus.speech.part(name, seed).items]
        for name in ("train", "test")
    )
    if not learned or not held_out:
        raise InputError(
            f"{len(rows)} labelled clips leave {len(learned)} to learn from and {len(held_out)} to "
            "ask for: give more"
        )
    return learned, held_out


def records_of(
    found: Mapping[str, list[Heard]], plan: Scale, corpus: Labelled
) -> list[tuple[str, Record]]:
    """One for each source that learned, by `RULE`."""
    updates = {
        ALIGNER: plan.aligner_updates,
        FORCED: plan.listener_updates,
        ATTENTION: plan.teacher_updates,
    }
    files = {ALIGNER: "", FORCED: "-forced", ATTENTION: "-attention"}
    return [
        (f"claim-boundaries{files[name]}", record_of(name, found, plan, corpus, updates[name]))
        for name in updates
        if name in found
    ]


def record_of(
    name: str,
    found: Mapping[str, list[Heard]],
    plan: Scale,
    corpus: Labelled,
    updates: int,
) -> Record:
    errors = {one: [heard.error for heard in rows] for one, rows in found.items()}
    share = mean_interval([error.within_20 for error in errors[name]])
    gain = paired_interval(
        [error.mean_ms for error in errors[MEANS]], [error.mean_ms for error in errors[name]]
    )
    verdict: Verdict = "inconclusive"
    if share.low > MOST and gain.low > 0:
        verdict = "shown"
    elif share.high < MOST or gain.high < 0:
        verdict = "not shown"
    told = [name, MEANS, EQUAL, ROUNDED]
    return Record(
        system="fastspeech",
        kind="claim",
        sentence=SENTENCES[name],
        rule=RULE.format(
            source=name.capitalize(), updates=updates, longest=plan.longest_s, seeds=plan.seeds,
            within=WITHIN_MS, most=MOST,
        ),
        verdict=verdict,
        measured=(
            Figure(
                f"boundaries within {WITHIN_MS} ms",
                *(100 * share.mean, 100 * share.low, 100 * share.high),
                unit="%",
            ),
            Figure(f"mean error, {MEANS} minus {name}", gain.mean, gain.low, gain.high, "ms"),
            *(figure for one in told for figure in figures_of(one, found[one])),
        ),
        arms=tuple(found),
        data=(CORPUS,),
        seeds=tuple(range(plan.seeds)),
        details={
            "scale": plan.to_dict(),
            "labels": ABOUT_LABELS,
            "listener": ABOUT_LISTENER,
            "sentences": len(corpus.speech),
            "left out": len(corpus.speech.dropped),
            "errors": {one: [e._asdict() for e in rows] for one, rows in errors.items()},
            "not measured": [] if ATTENTION in found else [ATTENTION],
        },
    )  # fmt: skip


def figures_of(name: str, rows: Sequence[Heard]) -> list[Figure]:
    """The means over the seeds."""
    errors = [heard.error for heard in rows]

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    figures = [
        Figure(f"{name}, mean error", mean([e.mean_ms for e in errors]), unit="ms"),
        Figure(f"{name}, median error", mean([e.median_ms for e in errors]), unit="ms"),
        *(
            Figure(f"{name}, within {limit} ms", 100 * mean(shares), unit="%")
            for limit, shares in (
                (10, [e.within_10 for e in errors]),
                (20, [e.within_20 for e in errors]),
                (50, [e.within_50 for e in errors]),
            )
        ),
    ]
    if name in SENTENCES:
        beside, apart = (
            [error_of(heard.offsets[heard.at_pause == there]).mean_ms for heard in rows]
            for there in (True, False)
        )
        figures += [
            Figure(f"{name}, mean error between two phones", mean(apart), unit="ms"),
            Figure(f"{name}, mean error at a pause", mean(beside), unit="ms"),
            Figure(f"{name}, later than labelled", mean([e.late_ms for e in errors]), unit="ms"),
        ]
    return figures
