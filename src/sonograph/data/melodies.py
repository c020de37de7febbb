"""Melodies with exact scores: random walks in scales, played with recorded notes of a sound font.

Synthetic, of real parts: nobody composed or performed these melodies, every note is a recording
that is transposed by at most a few semitones, and what accompanies them (stems of real songs) knows
nothing of their key. Only recordings whose measured pitch is the one that the bank names are
played, so the score is exact to some cents.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from sonograph.audio.resample import resample
from sonograph.data.mixtures import Mixtures, Pool, at_level, drawn_level, within_scale
from sonograph.data.sampler import random_of
from sonograph.data.soundfont import Sample, SoundFont, instruments, read_soundfont
from sonograph.errors import InputError
from sonograph.outputs import Note

Random = np.random.Generator

FAMILIES = ("reed", "pipe", "brass", "ensemble")  # that hold a tone, as a voice does
HELD_OUT = ("0-053", "0-064", "0-068")  # sung "doo", soprano saxophone, oboe
LEAST_RECORDED_S = 0.15
TRANSPOSED = 5  # semitones that a recording is moved at most
IN_TUNE = 0.35  # semitones that the measured pitch may lie off
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
LENGTHS, SHARES = (1, 2, 3, 4), (0.4, 0.35, 0.1, 0.15)  # of notes in units of the beat
LONGEST_S = 1.2  # of a note: what is recorded of one
FADE_S = 0.02


class Instrument:
    """The notes of one instrument: samples at their own rates, and the pitch of each."""

    def __init__(self, name: str, bank: SoundFont, samples: Sequence[Sample]):
        self.name = name
        self.recordings = [(bank.note(sample), sample.rate_hz) for sample in samples]
        self.roots = np.array([_root(sample) for sample in samples])

    def keys(self, lowest: int, highest: int) -> list[int]:
        """Keys within TRANSPOSED semitones of a recording."""
        wanted = np.arange(lowest, highest + 1)
        near = np.abs(wanted[:, None] - self.roots).min(1) <= TRANSPOSED
        return wanted[near].tolist()

    @functools.cache  # noqa: B019 - a few hundred notes, for as long as the instrument lives
    def note(self, key: int, rate_hz: int) -> Float32[np.ndarray, "n"]:
        """A key, played faster or slower from the nearest recording; full scale 1."""
        nearest = int(np.abs(self.roots - key).argmin())
        samples, own_hz = self.recordings[nearest]
        heard_hz = round(own_hz * 2 ** ((key - self.roots[nearest]) / 12))
        sound = resample(samples.astype(np.float32)[None] / 32768, heard_hz, rate_hz)[0]
        peak = float(np.abs(sound).max())
        return sound / peak if peak else sound


def read_instruments(path: Path) -> dict[str, Instrument]:
    """The instruments of a bank that hold a tone, by name, of recordings that are in tune."""
    bank = read_soundfont(path)
    found: dict[str, list[Sample]] = {}
    for sample, name in zip(bank.samples, instruments(bank.samples)):
        usable = sample.family in FAMILIES and sample.recorded_s >= LEAST_RECORDED_S
        if usable and sample.looped and sample.root_key < 128 and _in_tune(bank, sample):
            found.setdefault(name, []).append(sample)
    if not found:
        raise InputError(f"{path} holds no instrument that can play a melody")
    return {name: Instrument(name, bank, samples) for name, samples in sorted(found.items())}


def _root(sample: Sample) -> float:
    """The pitch that is recorded: the correction of a player takes it to its key."""
    return sample.root_key - sample.correction_cents / 100


def _in_tune(bank: SoundFont, sample: Sample) -> bool:
    from sonograph.audio.pitch import f0_hz
    from sonograph.audio.speech_features import voice_spec

    spec = voice_spec()
    sound = resample(bank.note(sample).astype(np.float32)[None], sample.rate_hz, spec.rate_hz)[0]
    found = f0_hz(sound / 32768, spec, 60.0, 1400.0)
    heard = found[found > 0]
    if len(heard) < 8:
        return False
    return abs(69 + 12 * np.log2(np.median(heard) / 440) - _root(sample)) <= IN_TUNE


class Melodies(Mixtures):
    """(melody, accompaniment) and the notes: batches of `Mixtures` with a list "notes", one a clip.

    keys: lowest and highest. distinct: only so many melodies there are, round and round, as of a
    small set of labelled songs; None draws anew for ever. snr_db: melody to accompaniment.
    """

    def __init__(
        self,
        players: Iterable[Instrument],
        keys: tuple[int, int],
        accompaniment: Pool,
        batch_size: int,
        samples: int,
        seed: int = 0,
        snr_db: tuple[float, float] = (0.0, 12.0),
        distinct: int | None = None,
    ):
        super().__init__(batch_size, samples, seed)
        self.rate_hz, self.accompaniment = accompaniment.rate_hz, accompaniment
        self.snr_db, self.distinct = snr_db, distinct
        self.ranges = {p: p.keys(*keys) for p in players}
        self.ranges = {p: keys for p, keys in self.ranges.items() if len(keys) >= 8}
        if not self.ranges:
            raise InputError(f"no instrument plays eight keys of {keys[0]} to {keys[1]}")

    def batch(self, k: int) -> dict[str, Any]:
        rows, scores = [], []
        for row in range(self.batch_size):
            number = k * self.batch_size + row
            if self.distinct:
                number %= self.distinct
            random = random_of(self.seed, "mixture", number)
            melody, notes = self.played(random)
            level, snr = drawn_level(random, -28.0, -14.0), random.uniform(*self.snr_db)
            other = self.accompaniment.crop(random, self.samples)
            parts = [at_level(melody, level), at_level(other, level / 10 ** (snr / 20))]
            rows.append(within_scale(np.stack(parts).astype(np.float32)))
            scores.append(notes)
        sources = torch.from_numpy(np.stack(rows))
        return {"mixture": sources.sum(1), "sources": sources, "notes": scores}

    def played(self, random: Random) -> tuple[Float32[np.ndarray, "1 n"], list[Note]]:
        """A melody of one instrument, and its score."""
        player, keys = list(self.ranges.items())[int(random.integers(len(self.ranges)))]
        sound, rate = np.zeros(self.samples, np.float32), self.rate_hz
        notes = []
        for note in _walk(random, keys, self.samples / rate):
            begin, end = round(note.onset_s * rate), round(note.offset_s * rate)
            wave = player.note(int(note.pitch), rate)[: end - begin].copy()
            fade = min(len(wave), round(FADE_S * rate))
            wave[len(wave) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
            sound[begin : begin + len(wave)] += np.float32(note.score) * wave
            notes.append(Note(begin / rate, (begin + len(wave)) / rate, note.pitch))
        return sound[None], notes


def _walk(random: Random, keys: Sequence[int], seconds: float) -> Iterable[Note]:
    """A random walk in a scale; a note's score is how loud it is."""
    scale, tonic = SCALES[int(random.integers(len(SCALES)))], int(random.integers(12))
    steps = [key for key in keys if (key - tonic) % 12 in scale]
    place = int(random.integers(len(steps)))
    unit_s, now = random.uniform(0.12, 0.3), random.uniform(0, 0.3)
    while now < seconds - 0.1:
        length_s = min(unit_s * float(random.choice(LENGTHS, p=SHARES)), LONGEST_S)
        end = min(now + length_s, seconds)
        if random.random() > 0.15:  # else a rest
            gap = random.uniform(0, 0.03)
            yield Note(now, max(end - gap, now + 0.06), steps[place], random.uniform(0.5, 1.0))
        place = int(np.clip(place + random.integers(-4, 5), 0, len(steps) - 1))
        now = end
