"""How well notes and melodies were written down, by the rules of MIREX; equal to mir_eval's.

Notes (Molina et al. 2014): COn counts a note as found where its onset is right, COnP its onset and
pitch, COnPOff its offset too. Every note is matched at most once, so that as many as possible are.
Melodies (Poliner et al. 2007): one frequency a frame, 0 or less where none is sung.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from sonograph.errors import InputError
from sonograph.outputs import Note

ONSET_S, CENTS, OFFSET_SHARE, OFFSET_S = 0.05, 50.0, 0.2, 0.05
DIGITS = 4  # of seconds: 50 ms are 50 ms, whatever floating point makes of them


@dataclass(frozen=True)
class Score:
    """Counts, which add up over clips, and what is made of them."""

    matched: int
    made: int
    wanted: int

    def __add__(self, other: Score) -> Score:
        return Score(
            self.matched + other.matched, self.made + other.made, self.wanted + other.wanted
        )

    @property
    def precision(self) -> float:
        return self.matched / self.made if self.made else 0.0

    @property
    def recall(self) -> float:
        return self.matched / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 0 where nothing matches, also where nothing could."""
        return 2 * self.matched / (self.made + self.wanted) if self.matched else 0.0


@dataclass(frozen=True)
class NoteScores:
    """Notes with the right onset; and pitch; and offset."""

    con: Score
    conp: Score
    conpoff: Score

    def __add__(self, other: NoteScores) -> NoteScores:
        return NoteScores(
            self.con + other.con, self.conp + other.conp, self.conpoff + other.conpoff
        )

    def to_json(self) -> dict[str, dict[str, float]]:
        return {
            name: {"precision": score.precision, "recall": score.recall, "f1": score.f1}
            for name, score in (("COn", self.con), ("COnP", self.conp), ("COnPOff", self.conpoff))
        }


def note_scores(
    made: Sequence[Note],
    wanted: Sequence[Note],
    onset_s: float = ONSET_S,
    cents: float = CENTS,
    offset_share: float = OFFSET_SHARE,
    offset_s: float = OFFSET_S,
) -> NoteScores:
    """COn, COnP and COnPOff.

    Right is an onset within `onset_s`, a pitch within `cents`, an offset within `offset_share` of
    the true note's length or `offset_s`, whichever is more.

    >>> one = [Note(0.0, 1.0, 60)]
    >>> note_scores([Note(0.03, 1.5, 60)], one).to_json()["COnPOff"]["f1"]
    0.0
    """
    counts = len(made), len(wanted)
    rules = ((None, None), (cents, None), (cents, (offset_share, offset_s)))
    return NoteScores(*(Score(len(matches(made, wanted, onset_s, *r)), *counts) for r in rules))


def matches(
    made: Sequence[Note],
    wanted: Sequence[Note],
    onset_s: float = ONSET_S,
    cents: float | None = CENTS,
    offset: tuple[float, float] | None = (OFFSET_SHARE, OFFSET_S),
) -> list[tuple[int, int]]:
    """(index of a made note, of a wanted one) of a largest set in which each stands once.

    cents, offset: None where they do not matter. Time and memory grow with the pairs that could
    match, not with all pairs.
    """
    onsets = np.array([note.onset_s for note in wanted])
    order = np.argsort(onsets, kind="stable")
    ranked = onsets[order]
    fits: list[list[int]] = []
    for ours in made:
        slack = onset_s + 10.0**-DIGITS
        low = np.searchsorted(ranked, ours.onset_s - slack)
        high = np.searchsorted(ranked, ours.onset_s + slack, side="right")
        near = order[low:high].tolist()
        fits.append([j for j in near if _fit(ours, wanted[j], onset_s, cents, offset)])
    return _largest(fits, len(wanted))


def _fit(
    made: Note,
    wanted: Note,
    onset_s: float,
    cents: float | None,
    offset: tuple[float, float] | None,
) -> bool:
    if round(abs(made.onset_s - wanted.onset_s), DIGITS) > onset_s:
        return False
    if cents is not None and 100 * abs(made.pitch - wanted.pitch) > cents:
        return False
    if offset is None:
        return True
    most = max(offset[0] * (wanted.offset_s - wanted.onset_s), offset[1])
    return round(abs(made.offset_s - wanted.offset_s), DIGITS) <= most


def _largest(fits: list[list[int]], count: int) -> list[tuple[int, int]]:
    """A largest matching of a bipartite graph: left i fits the right ones of fits[i].

    Each left looks, breadth first, for a path of exchanges that ends at a right still free (Berge).
    """
    holder, held = [-1] * count, [-1] * len(fits)  # left of a right, right of a left
    for start in range(len(fits)):
        reached: dict[int, int] = {}  # right -> the left it was reached from
        waiting, free = deque([start]), -1
        while waiting and free < 0:
            left = waiting.popleft()
            for j in fits[left]:
                if j not in reached:
                    reached[j] = left
                    if holder[j] < 0:
                        free = j
                        break
                    waiting.append(holder[j])
        while free >= 0:
            left = reached[free]
            given_up = held[left]
            holder[free], held[left] = left, free
            free = given_up
    return [(left, j) for left, j in enumerate(held) if j >= 0]


@dataclass(frozen=True)
class MelodyScores:
    """Shares of frames, 0 to 1.

    voicing_recall: of sung frames those that were said to be; voicing_false_alarm: of silent ones.
    raw_pitch, raw_chroma: of sung frames those whose pitch is right, or right but for octaves.
    overall: of all frames those in which both are right.
    """

    voicing_recall: float
    voicing_false_alarm: float
    raw_pitch: float
    raw_chroma: float
    overall: float


def melody_scores(
    made_hz: Float[np.ndarray, "frames"],
    wanted_hz: Float[np.ndarray, "frames"],
    cents: float = CENTS,
) -> MelodyScores:
    """Scores of a melody against the true one, both at the same times (see `at_times`).

    0 is no voice; below 0 no voice, but if there were one it would have that frequency.
    """
    made, wanted = np.asarray(made_hz, np.float64), np.asarray(wanted_hz, np.float64)
    if made.shape != wanted.shape or made.ndim != 1 or not len(made):
        raise InputError(
            f"melodies of {made.shape} and {wanted.shape} frames cannot be compared: bring both to "
            "the same times"
        )
    voiced, sung = made > 0, wanted > 0
    distance = np.abs(_cents(made) - _cents(wanted))
    both = (made != 0) & (wanted != 0)
    right = both & (distance < cents)
    chroma = both & (np.abs(distance - 1200 * np.floor(distance / 1200 + 0.5)) < cents)
    count, silent = sung.sum(), (~sung).sum()
    return MelodyScores(
        voicing_recall=float((voiced & sung).sum() / count) if count else 1.0,
        voicing_false_alarm=float((voiced & ~sung).sum() / silent) if silent else 0.0,
        raw_pitch=float((right & sung).sum() / count) if count else 0.0,
        raw_chroma=float((chroma & sung).sum() / count) if count else 0.0,
        overall=float(((right & sung & voiced) | (~sung & ~voiced)).mean()),
    )


def at_times(
    times_s: Float[np.ndarray, "frames"],
    hz: Float[np.ndarray, "frames"],
    wanted_times_s: Float[np.ndarray, "wanted"],
) -> Float64[np.ndarray, "wanted"]:
    """A melody at other times: cents between its frames are linear, voicing is that of the last.

    Between a frame with and one without a frequency the last one holds. Before the first frame its
    value stands, after the last one nothing does.
    """
    times = np.round(np.asarray(times_s, np.float64), 10)
    hz, wanted = np.asarray(hz, np.float64), np.round(np.asarray(wanted_times_s, np.float64), 10)
    if times.shape != hz.shape or not len(times) or bool((np.diff(times) <= 0).any()):
        raise InputError("a melody needs a frequency at every time, and times that rise")
    if times.shape == wanted.shape and np.allclose(times, wanted):
        return hz
    if times[0] > 0:
        times, hz = np.insert(times, 0, 0.0), np.insert(hz, 0, hz[0])
    if len(wanted) and wanted[-1] > times[-1]:
        times, hz = np.append(times, wanted[-1]), np.append(hz, 0.0)
    last_heard = np.maximum.accumulate(np.where(hz != 0, np.arange(len(hz)), 0))
    cents = np.interp(wanted, times, _cents(hz)[last_heard])
    before = hz[np.searchsorted(times, wanted, side="right") - 1]
    return np.where(before == 0, 0.0, np.sign(before) * 10 * 2 ** (cents / 1200))


def melody_of(
    notes: Iterable[Note], times_s: Float[np.ndarray, "frames"]
) -> Float64[np.ndarray, "frames"]:
    """The frequency of the note that sounds at each time, 0 where none does; a later note wins."""
    times = np.asarray(times_s, np.float64)
    hz = np.zeros(len(times))
    for note in sorted(notes, key=lambda note: note.onset_s):
        hz[(times >= note.onset_s) & (times < note.offset_s)] = note.frequency_hz
    return hz


def _cents(hz: np.ndarray) -> np.ndarray:
    """Cents above 10 Hz of magnitudes; 0 of 0."""
    return 1200 * np.log2(np.where(hz == 0, 10, np.abs(hz)) / 10)
