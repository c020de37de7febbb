"""Notes to a Standard MIDI File and back, by mido (`pip install 'sonograph[midi]'`)."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sonograph.errors import InputError, missing_extra
from sonograph.outputs import Note
from sonograph.writing import write_whole

TICKS_A_BEAT = 480
BEATS_A_MINUTE = 120  # a tick is 1.04 ms
DRUMS = 9  # the channel whose notes are no pitches


def write_midi(
    path: str | Path,
    notes: Iterable[Note],
    beats_a_minute: float = BEATS_A_MINUTE,
    program: int = 0,
) -> Path:
    """Write notes as one track; the file appears whole or not at all.

    Times are rounded to ticks and pitches to keys; the velocity is 1 + 126 score. program: the
    General MIDI instrument, from 0. A note shorter than a tick lasts one.
    """
    mido = _mido()
    if not 4 <= beats_a_minute <= 60_000:
        raise InputError(f"a tempo of {beats_a_minute} beats a minute cannot be written as MIDI")
    if not 0 <= program <= 127:
        raise InputError(f"there is no MIDI program {program}: give 0 to 127")
    tempo = mido.bpm2tempo(beats_a_minute)
    events = []  # ends stand before beginnings at the same tick
    for note in notes:
        key = round(note.pitch)
        if not 0 <= key <= 127 or not 0 <= note.onset_s <= note.offset_s:
            raise InputError(f"{note} cannot be written as MIDI")
        begin, end = (
            round(mido.second2tick(t, TICKS_A_BEAT, tempo)) for t in (note.onset_s, note.offset_s)
        )
        velocity = 1 + round(126 * min(max(note.score, 0.0), 1.0))
        events.append((begin, 1, key, velocity))
        events.append((max(begin + 1, end), 0, key, 0))
    track = mido.MidiTrack(
        [
            mido.MetaMessage("set_tempo", tempo=tempo),
            mido.Message("program_change", program=program),
        ]
    )
    now = 0
    for tick, begins, key, velocity in sorted(events):
        kind = "note_on" if begins else "note_off"
        track.append(mido.Message(kind, note=key, velocity=velocity, time=tick - now))
        now = tick
    file = mido.MidiFile(type=0, ticks_per_beat=TICKS_A_BEAT, tracks=[track])
    buffer = io.BytesIO()
    file.save(file=buffer)
    return write_whole(path, buffer.getvalue())


def read_midi(path: str | Path) -> list[Note]:
    """The pitched notes of a file, of all tracks and channels but the drums, by onset.

    Tempo changes are followed. A key that is struck again ends; one that is never let go ends with
    the file. Scores are velocities, (velocity - 1) / 126. Raises InputError for no MIDI file.
    """
    mido = _mido()
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    try:
        file = mido.MidiFile(file=io.BytesIO(content), clip=True)
        messages = list(file)  # of type 2, tracks that follow each other, there is no one time
    except (OSError, EOFError, ValueError, IndexError, KeyError, TypeError, ZeroDivisionError) as e:
        raise InputError(f"{path} is no whole MIDI file: {e or type(e).__name__}") from None
    now, notes = 0.0, []
    sounding: dict[tuple[int, int], tuple[float, int]] = {}
    for message in messages:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        where = message.channel, message.note
        if where in sounding:
            begun, velocity = sounding.pop(where)
            notes.append(Note(begun, now, message.note, (velocity - 1) / 126))
        if message.type == "note_on" and message.velocity:
            sounding[where] = now, message.velocity
    for (_, key), (begun, velocity) in sounding.items():
        notes.append(Note(begun, now, key, (velocity - 1) / 126))
    return sorted(notes, key=lambda note: (note.onset_s, note.pitch))


def _mido() -> Any:
    try:
        import mido
    except ImportError:
        raise missing_extra("mido", "midi") from None
    return mido
