"""Who loses its place: FastSpeech and its autoregressive teacher on hard sentences, a claim.

A pair is trained as the paper does it (`teach`), and both say `text/hard_sentences.py`. Two
witnesses count. The model's own path: the token that each frame reads, by the teacher's most
diagonal head while it reads what it said, by the student's durations. And an independent listener
(`listener.py`), taught by recordings alone, that never sees the text: what of it did it not hear,
what did it hear in excess?
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from sonograph import weights
from sonograph.config import Config
from sonograph.data.clips import Clip, Clips
from sonograph.data.corpora import open_corpus
from sonograph.metrics.intervals import paired_bootstrap
from sonograph.metrics.words import edits
from sonograph.nn.acoustic import Text
from sonograph.nn.monotonic import focus_rate, token_of_frame
from sonograph.progress import Progress, silent
from sonograph.recipes.arms import finished
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.speak.corpus import (
    Speech,
    SpeechBatches,
    encode_with,
    in_order,
    measured_folder,
)
from sonograph.recipes.speak.fastspeech import Recipe, teach
from sonograph.recipes.speak.listener import Listener, listen
from sonograph.records import Figure, Record, Verdict
from sonograph.registry import preset
from sonograph.systems.speak import fastspeech
from sonograph.text.arpabet import PHONES
from sonograph.text.hard_sentences import HARD_SENTENCES, HardSentence
from sonograph.text.tokens import alphabet
from sonograph.text.utterance import utterance

CORPUS, ALPHABET = "asterisk-en", "arpabet"
TEACHER, STUDENT, REAL = "teacher", "FastSpeech", "recordings"
SOUNDS = tuple(sorted({phone.rstrip("012") for phone in PHONES}))  # what is heard: no stress
LEAST_RUN = 3  # frames that a word is read for before it counts as read again: 48 ms


@dataclasses.dataclass(frozen=True)
class Scale(Config):
    """How large the claim is measured; everything is fixed before a run."""

    teacher: str = "fastspeech-teacher-mini"
    student: str = "fastspeech-student-mini"
    updates: int = 1200  # of either
    listener_updates: int = 400
    batch: int = 16
    frames: int = 4000  # of one batch, padding counted
    lr: float = 1e-3
    seeds: int = 3  # of what the teacher draws while it speaks; the pair is trained once
    frames_a_token: int = 10  # twice as slow as the corpus: who is not done by then does not end
    spare_frames: int = 60
    together: int = 10  # sentences that are said at once


SCALES = {
    "cpu": Scale(),
    "gpu": Scale(updates=20_000, listener_updates=5000, batch=32, frames=10_000),
}
LEAST_HEARD = 0.5
DIM = (
    "Neither voice is clear enough for an ear to tell a word that was skipped from one that was "
    "mumbled: minutes of training at this size give blurred mels. What the paths say is about the "
    "reading of the text alone."
)
PAPER = (
    Figure("sentences with errors of 50, Transformer TTS", 34, unit="%"),
    Figure("sentences with errors of 50, FastSpeech", 0, unit="%"),
)
SENTENCE = "On hard sentences FastSpeech skips and repeats fewer words than the teacher it is from."
RULE = (
    "A teacher and the student that it taught, each trained once by {updates} updates, say "
    "{sentences} hard sentences; the teacher with {seeds} seeds of what it draws, whose mean "
    "counts. By its own path a sentence fails where a word is read by no frame, is gone back to "
    "after a later one, or where it does not end within {frames} frames a token and {spare}. By an "
    "independent listener's ear it slips by the phones of the text that were not heard and those "
    "heard in excess, as a share of the text's. Shown: the 95 % intervals (bootstrap of sentences) "
    "of teacher minus student lie above 0 for both, and of the student's phones at least "
    "{least:.0%} as many are heard in place as of held-out recordings' (else its words are none to "
    "skip). Not shown: one interval lies below 0, or fewer are heard. Else inconclusive."
)


# --- what is said ---------------------------------------------------------------------------------


class Written(NamedTuple):
    """A sentence as tokens. said: the numbers of the words that are words, not marks or pauses."""

    ids: tuple[int, ...]
    words: tuple[int, ...]
    said: frozenset[int]

    @property
    def sounds(self) -> list[str]:
        """Its phones as a listener hears them."""
        return [SOUNDS[k - 1] for k in sounds_of(self.ids)]


def written(text: str) -> Written:
    found = utterance(text, "en", ALPHABET)
    ids, words = found.encode()
    said = frozenset(k for k, word in enumerate(found.words) if word.kind == "word")
    return Written(tuple(ids), tuple(words), said)


def sounds_of(ids: Sequence[int]) -> list[int]:
    """Numbers of sounds from 1; what is no sound (marks, silence) is left out."""
    symbols = [symbol.rstrip("012") for symbol in alphabet(ALPHABET).decode(ids)]
    return [SOUNDS.index(symbol) + 1 for symbol in symbols if symbol in SOUNDS]


def encode_sounds(clip: Clip) -> tuple[Sequence[int], Sequence[int]]:
    """A clip's text for the listener: sounds alone."""
    found = sounds_of(encode_with(ALPHABET)(clip)[0])
    return found, list(range(len(found)))


def together(sentences: Sequence[Written]) -> Text:
    """Sentences as one batch."""
    longest = max(len(one.ids) for one in sentences)
    ids = torch.zeros(len(sentences), longest, dtype=torch.int64)
    words = torch.zeros_like(ids)
    for k, one in enumerate(sentences):
        ids[k, : len(one.ids)] = torch.tensor(one.ids)
        words[k] = one.words[-1]
        words[k, : len(one.ids)] = torch.tensor(one.words)
    return Text(ids, torch.tensor([len(one.ids) for one in sentences]), words)


# --- two witnesses --------------------------------------------------------------------------------


class Reading(NamedTuple):
    """What a path through a text did wrong: words skipped, words gone back to, and no end."""

    skipped: int
    repeated: int
    endless: bool

    @property
    def failed(self) -> bool:
        return bool(self.skipped or self.repeated or self.endless)


def path_of(sentence: Written, tokens: Sequence[int], ended: bool) -> Reading:
    """tokens: which one each frame reads. A word that is read for less than `LEAST_RUN` frames is
    not skipped, but nobody went back to it either.
    """
    read = [sentence.words[token] for token in tokens]
    runs: list[list[int]] = []  # word, frames
    for word in read:
        if runs and runs[-1][0] == word:
            runs[-1][1] += 1
        else:
            runs.append([word, 1])
    steady = [word for word, count in runs if count >= LEAST_RUN]
    back = sum(b < a and b in sentence.said for a, b in itertools.pairwise(steady))
    return Reading(len(sentence.said - set(read)), back, not ended)


class Ear(NamedTuple):
    """What was heard of a sentence's phones: wanted, in place, left out, in excess."""

    wanted: int
    right: int
    left_out: int
    excess: int

    @property
    def slips(self) -> float:
        return (self.left_out + self.excess) / self.wanted


def ear_of(sentence: Sequence[str], heard: Sequence[str]) -> Ear:
    found = edits(sentence, heard)
    right = len(sentence) - found.substituted - found.deleted
    return Ear(len(sentence), right, found.deleted, found.inserted)


@dataclasses.dataclass(frozen=True)
class Said:
    """What became of one sentence, by both witnesses."""

    path: Reading
    ear: Ear


def said_by_student(
    model: fastspeech.FastSpeech, sentences: Sequence[Written], listener: Listener
) -> list[Said]:
    spoken = model.speak(together(sentences))
    read = token_of_frame(spoken.durations, spoken.features.shape[2])
    heard = listener.hear(spoken.features, spoken.lengths)
    return _judged(sentences, read, spoken.lengths, [True] * len(sentences), heard)


def said_by_teacher(
    model: fastspeech.TransformerTTS,
    sentences: Sequence[Written],
    listener: Listener,
    plan: Scale,
    seed: int,
) -> list[Said]:
    """Each sentence until it says that it has done, or has said too much."""
    text, draw = together(sentences), torch.Generator().manual_seed(seed)
    most = plan.frames_a_token * text.lengths + plan.spare_frames
    features, lengths = model.generate(text, int(most.max()), generator=draw)
    ended = (lengths < most).tolist()
    lengths = torch.minimum(lengths, most)
    read = read_by(model, text, features, lengths, draw)
    return _judged(sentences, read, lengths, ended, listener.hear(features, lengths))


@torch.no_grad()
def read_by(
    model: fastspeech.TransformerTTS,
    text: Text,
    features: Tensor,
    lengths: Int64[Tensor, "b"],
    draw: torch.Generator,
) -> Int64[Tensor, "b t"]:
    """The token that each frame reads: the most diagonal head's, as where durations come from."""
    maps = model(text, features, lengths, draw).attention
    best = focus_rate(maps, lengths, text.lengths).argmax(0)
    chosen = maps[best, torch.arange(maps.shape[1])]
    return chosen.masked_fill(~text.mask[:, None], -torch.inf).argmax(2)


def _judged(
    sentences: Sequence[Written],
    read: Int64[Tensor, "b t"],
    lengths: Int64[Tensor, "b"],
    ended: Sequence[bool],
    heard: Sequence[Sequence[int]],
) -> list[Said]:
    return [
        Said(
            path_of(sentence, read[k, :length].tolist(), ended[k]),
            ear_of(sentence.sounds, [SOUNDS[sound - 1] for sound in heard[k]]),
        )
        for k, (sentence, length) in enumerate(zip(sentences, lengths.tolist()))
    ]


def taught_listener(
    clips: Clips, plan: Scale, folder: Path, progress: Progress
) -> tuple[Listener, list[Ear]]:
    """A listener that learned from recordings, and what it hears of those held out."""
    spec = preset(plan.teacher).make().features  # type: ignore[attr-defined]
    speech = Speech.prepare(clips, spec, encode_sounds, measured_folder())
    learned = speech.part("train")
    moments = learned.moments()
    listener = listen(
        lambda: Listener(len(SOUNDS) + 1, *moments),
        SpeechBatches(learned, plan.batch, plan.frames),
        plan.listener_updates,
        0,
        folder,
        progress,
    )
    real = []
    for part in ("valid", "test"):
        for batch in in_order(speech.part(part), plan.batch, plan.frames):  # type: ignore[arg-type]
            heard = listener.hear(batch.features, batch.lengths)
            for ids, count, found in zip(batch.text.ids, batch.text.lengths.tolist(), heard):
                wanted = [SOUNDS[k - 1] for k in ids[:count].tolist()]
                real.append(ear_of(wanted, [SOUNDS[k - 1] for k in found]))
    return listener, real


# --- the claim ------------------------------------------------------------------------------------


def robustness_records(
    scale: str,
    folder: Path,
    data_folder: Path | None = None,
    progress: Callable[[str], Progress] = lambda title: silent,
) -> list[tuple[str, Record]]:
    """`claim-robustness`. Started again it goes on."""
    clips, plan, began = open_corpus(CORPUS, data_folder), SCALES[scale], time.perf_counter()
    record = measured(clips, plan, folder, HARD_SENTENCES, progress)
    return finished([("claim-robustness", record)], scale, folder, began)


def measured(
    clips: Clips,
    plan: Scale,
    folder: Path,
    sentences: Sequence[HardSentence],
    progress: Callable[[str], Progress],
) -> Record:
    listener, real = taught_listener(clips, plan, folder / "listener", progress("listener"))
    recipe = Recipe(batch=plan.batch, frames=plan.frames).override(
        {
            "train.steps": plan.updates,
            "train.lr": plan.lr,
            "train.warmup_steps": min(100, plan.updates // 4),
            "train.eval_every": 0,
            "train.save_every": 100,
        }
    )
    names = (plan.teacher, plan.student)
    losses = teach(clips, folder, recipe, recipe, names, progress("teacher and student"))
    teacher: Any
    student: Any
    teacher, student = (weights.load_folder(folder / who / "voice").eval()
                        for who in ("teacher", "student"))  # fmt: skip
    texts = [written(sentence.text) for sentence in sentences]
    order = sorted(range(len(texts)), key=lambda k: len(texts[k].ids))
    groups = [order[k : k + plan.together] for k in range(0, len(order), plan.together)]
    tell = progress("hard sentences")
    by_student: dict[int, Said] = {}
    by_teacher: dict[int, list[Said]] = {k: [] for k in order}
    for number, group in enumerate(groups):
        given = [texts[k] for k in group]
        by_student |= dict(zip(group, said_by_student(student, given, listener)))
        for seed in range(plan.seeds):
            for k, said in zip(group, said_by_teacher(teacher, given, listener, plan, seed)):
                by_teacher[k].append(said)
        tell(number + 1, len(groups), "")
    return record_of(
        [by_teacher[k] for k in range(len(texts))],
        [[by_student[k]] for k in range(len(texts))],
        real,
        texts,
        sentences,
        plan,
        {"losses": losses, "data": data_of(clips)},
    )


def record_of(
    teacher: Sequence[Sequence[Said]],
    student: Sequence[Sequence[Said]],
    real: Sequence[Ear],
    texts: Sequence[Written],
    sentences: Sequence[HardSentence],
    plan: Scale,
    details: dict[str, Any],
) -> Record:
    """By `RULE`. teacher, student: of each sentence what was said, once or with several seeds."""
    arms = {TEACHER: teacher, STUDENT: student}

    def of(who: str, value: Callable[[Said], float]) -> list[float]:
        return [float(np.mean([value(said) for said in row])) for row in arms[who]]

    def gain(value: Callable[[Said], float]) -> Any:
        return paired_bootstrap(of(TEACHER, value), of(STUDENT, value))

    fails, slips = (
        gain(lambda said: 100 * said.path.failed),
        gain(lambda said: 100 * said.ear.slips),
    )
    in_place = {who: _in_place([said.ear for row in rows for said in row])
                for who, rows in arms.items()} | {REAL: _in_place(real)}  # fmt: skip
    understood = in_place[STUDENT] >= LEAST_HEARD * in_place[REAL]
    verdict: Verdict = "inconclusive"
    if not understood:
        details = details | {"cause": DIM}
    if not understood or fails.high < 0 or slips.high < 0:
        verdict = "not shown"
    elif fails.low > 0 and slips.low > 0:
        verdict = "shown"
    words = sum(len(text.said) for text in texts)
    figures = [
        Figure("sentences that fail by path, teacher minus FastSpeech",
               fails.mean, fails.low, fails.high, "points"),
        Figure("phones left out or in excess by ear, teacher minus FastSpeech",
               slips.mean, slips.low, slips.high, "points"),
    ]  # fmt: skip
    figures += [Figure(f"{who}, phones heard in place", 100 * share, unit="%")
                for who, share in in_place.items()]  # fmt: skip
    for who in arms:
        figures += [
            Figure(f"{who}, sentences that fail by path",
                   float(np.mean(of(who, lambda said: 100 * said.path.failed))), unit="%"),
            Figure(f"{who}, words skipped by path",
                   100 * sum(of(who, lambda said: said.path.skipped)) / words, unit="%"),
            Figure(f"{who}, words gone back to by path",
                   100 * sum(of(who, lambda said: said.path.repeated)) / words, unit="%"),
            Figure(f"{who}, sentences without an end",
                   float(np.mean(of(who, lambda said: 100 * said.path.endless))), unit="%"),
            Figure(f"{who}, phones left out by ear",
                   _share(arms[who], lambda ear: ear.left_out), unit="%"),
            Figure(f"{who}, phones in excess by ear",
                   _share(arms[who], lambda ear: ear.excess), unit="%"),
        ]  # fmt: skip
    figures.append(
        Figure("recordings, phones left out or in excess by ear",
               100 * sum(e.left_out + e.excess for e in real) / sum(e.wanted for e in real),
               unit="%")
    )  # fmt: skip
    if "losses" in details:
        figures.append(Figure("teacher's focus rate", details["losses"]["focus_rate"]))
    kinds = {
        kind: {
            who: float(np.mean([
                value for value, one in zip(of(who, lambda said: 100 * said.path.failed), sentences)
                if one.kind == kind
            ]))
            for who in arms
        }
        for kind in dict.fromkeys(sentence.kind for sentence in sentences)
    }  # fmt: skip
    return Record(
        system="fastspeech",
        kind="claim",
        sentence=SENTENCE,
        rule=RULE.format(
            updates=plan.updates, sentences=len(texts), seeds=plan.seeds, least=LEAST_HEARD,
            frames=plan.frames_a_token, spare=plan.spare_frames,
        ),
        verdict=verdict,
        measured=tuple(figures),
        paper=PAPER,
        arms=(plan.teacher, plan.student),
        data=(CORPUS,),
        seeds=tuple(range(plan.seeds)),
        details=details | {"scale": plan.to_dict(), "failing by path, by kind": kinds},
    )  # fmt: skip


def _in_place(ears: Sequence[Ear]) -> float:
    return sum(ear.right for ear in ears) / sum(ear.wanted for ear in ears)


def _share(rows: Sequence[Sequence[Said]], count: Callable[[Ear], int]) -> float:
    """Per cent of the phones that were wanted."""
    ears = [said.ear for row in rows for said in row]
    return 100 * sum(map(count, ears)) / sum(ear.wanted for ear in ears)
