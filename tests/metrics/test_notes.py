"""Scores of notes and melodies against mir_eval, on random ones; edges by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.errors import InputError
from sonograph.metrics.notes import (
    at_times,
    matches,
    melody_of,
    melody_scores,
    note_scores,
)
from sonograph.outputs import Note

# Times on a grid of 10 ms bring ties at the tolerances; pitches of 0.3 semitones do not.
NOTE = st.builds(
    lambda onset, length, pitch: Note(onset / 100, (onset + length) / 100, 60 + 0.3 * pitch),
    st.integers(0, 60), st.integers(1, 80), st.integers(0, 6),
)  # fmt: skip
FREQUENCIES = st.sampled_from([0.0, 110.0, 113.0, 116.0, 220.0, 226.0, 440.0, -110.0, -220.0])


@settings(max_examples=80, deadline=None)
@given(st.lists(NOTE, min_size=1, max_size=14), st.lists(NOTE, min_size=1, max_size=14))
def test_notes_equal_mir_eval(made: list[Note], wanted: list[Note]) -> None:
    transcription = pytest.importorskip("mir_eval.transcription")

    def arrays(notes: list[Note]) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.array([(note.onset_s, note.offset_s) for note in notes]),
            np.array([note.frequency_hz for note in notes]),
        )

    (true, true_hz), (ours, ours_hz) = arrays(wanted), arrays(made)
    found = note_scores(made, wanted)
    expected = (
        (found.con, transcription.onset_precision_recall_f1(true, ours)),
        (
            found.conp,
            transcription.precision_recall_f1_overlap(
                true, true_hz, ours, ours_hz, offset_ratio=None
            ),
        ),
        (
            found.conpoff,
            transcription.precision_recall_f1_overlap(true, true_hz, ours, ours_hz),
        ),
    )
    for score, theirs in expected:
        assert (score.precision, score.recall, score.f1) == pytest.approx(theirs[:3])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(FREQUENCIES, FREQUENCIES), min_size=1, max_size=30))
def test_melodies_equal_mir_eval(frames: list[tuple[float, float]]) -> None:
    melody = pytest.importorskip("mir_eval.melody")
    made, wanted = (np.array(row) for row in zip(*frames))
    wanted = np.abs(wanted)
    times = 0.01 * np.arange(len(made))
    theirs = melody.evaluate(times, wanted.copy(), times, made.copy())
    ours = melody_scores(made, wanted)
    names = {
        "voicing_recall": "Voicing Recall",
        "voicing_false_alarm": "Voicing False Alarm",
        "raw_pitch": "Raw Pitch Accuracy",
        "raw_chroma": "Raw Chroma Accuracy",
        "overall": "Overall Accuracy",
    }
    for name, known in names.items():
        assert getattr(ours, name) == pytest.approx(theirs[known]), name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(FREQUENCIES, min_size=2, max_size=20),
    st.integers(3, 25),
    st.sampled_from([0.0, 0.004]),
    st.integers(2, 60),
)
def test_other_times_equal_mir_eval(hz: list[float], hop_ms: int, first: float, count: int) -> None:
    melody = pytest.importorskip("mir_eval.melody")
    made = np.array(hz)
    times, wanted = first + 0.01 * np.arange(len(made)), 0.001 * hop_ms * np.arange(count)
    reference = np.full(count, 220.0)
    _, _, voicing, cents = melody.to_cent_voicing(wanted, reference, times, made.copy())
    found = at_times(times, made, wanted)
    assert (found > 0).tolist() == (voicing > 0).tolist()
    heard = found != 0
    assert heard.tolist() == (cents != 0).tolist()
    assert 1200 * np.log2(np.abs(found[heard]) / 10) == pytest.approx(cents[heard])


def test_as_many_as_possible_are_matched() -> None:
    """The first made note fits both; greedy, it takes the one that the second needs."""
    wanted = [Note(0.00, 1, 60), Note(0.06, 1, 60)]
    made = [Note(0.03, 1, 60), Note(0.0, 1, 60)]
    assert matches(made, wanted) == [(0, 1), (1, 0)]
    chain = [Note(0.04 * k, 0.04 * k + 1, 60) for k in range(2000)]
    late = [Note(note.onset_s + 0.02, note.offset_s, 60) for note in chain]
    assert len(matches(late[::-1], chain)) == 2000


def test_without_notes() -> None:
    one = [Note(0, 1, 60)]
    for made, wanted in (([], one), (one, []), ([], [])):
        scores = note_scores(made, wanted)
        assert scores.con.f1 == scores.conpoff.precision == scores.conp.recall == 0
    both = note_scores(one, one) + note_scores([], one)
    assert both.conp.recall == 0.5
    assert both.to_json()["COnP"] == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3)}


def test_a_melody_of_notes() -> None:
    notes = [Note(0.1, 0.3, 69), Note(0.2, 0.4, 57)]
    found = melody_of(notes, np.arange(5) / 10 + 0.05)
    assert found == pytest.approx([0, 440, 220, 220, 0])


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(InputError, match="same times"):
        melody_scores(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="same times"):
        melody_scores(np.zeros(0), np.zeros(0))
    with pytest.raises(InputError, match="times that rise"):
        at_times(np.array([0.0, 0.0]), np.zeros(2), np.zeros(2))
