"""Mixtures with known parts, made as training asks for them: batch k depends on seed and k alone.

A batch is a dict: "mixture" float32 (clips, channels, samples) and "sources" float32
(clips, sources, channels, samples), whose sum over the sources is the mixture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int16

from sonograph.audio.io import read
from sonograph.audio.resample import resample, resampled_length
from sonograph.data import mix
from sonograph.data.clips import Clip
from sonograph.data.rooms import Rooms
from sonograph.data.sampler import random_of
from sonograph.errors import InputError
from sonograph.outputs import Audio

Random = np.random.Generator
Batch = dict[str, torch.Tensor]
Part = Float32[np.ndarray, "channels n"]
Stored = Int16[np.ndarray, "channels n"]

MOST_BYTES = 1 << 30  # of the sounds that a pool keeps in memory

PEAK = 0.95  # of a mixture that would be louder
QUIET = 1e-3  # root mean square below which a crop holds nothing to learn from
TRIES = 8  # at a crop that is not silent
PAUSE_S = (0.05, 0.4)  # between utterances that are strung together


class Pool:
    """Sounds from which crops are drawn in proportion to length.

    They are decoded once and stay in memory with 16 bits a sample, up to `most_bytes`; what lies
    beyond is read from its file whenever it is drawn. Sounds of one voice (a speaker, else a
    group) may be strung together. channels: 1 mixes down, 2 doubles mono.
    """

    def __init__(
        self,
        clips: Iterable[Clip],
        rate_hz: int,
        channels: int = 1,
        most_bytes: int = MOST_BYTES,
    ):
        self.rate_hz, self.channels = rate_hz, channels
        self.sounds: list[Stored | Clip] = []
        self.voices: list[str] = []
        lengths, held = [], 0
        for clip in clips:
            length = resampled_length(round(clip.duration_s * clip.rate_hz), clip.rate_hz, rate_hz)
            held += 2 * channels * length
            sound: Stored | Clip = clip
            if held <= most_bytes:
                sound = _stored(read(clip.path, rate_hz, clip.start_s, clip.duration_s), channels)
                length = sound.shape[1]
            self.sounds.append(sound)
            self.voices.append(clip.speaker or clip.group or clip.id)
            lengths.append(length)
        self._count(lengths)

    @classmethod
    def of(cls, sounds: Sequence[Audio], rate_hz: int, channels: int = 1) -> Pool:
        """Of sounds in memory, each a voice of its own."""
        pool = cls.__new__(cls)
        pool.rate_hz, pool.channels = rate_hz, channels
        pool.sounds = [_stored(sound.resample(rate_hz), channels) for sound in sounds]
        pool.voices = [str(number) for number in range(len(sounds))]
        pool._count([sound.shape[1] for sound in pool.sounds])  # type: ignore[union-attr]
        return pool

    def _count(self, lengths: list[int]) -> None:
        if not lengths:
            raise InputError("there are no sounds to mix")
        self.lengths = np.array(lengths, np.float64)
        self.of_voice = {
            voice: np.array([n for n, name in enumerate(self.voices) if name == voice])
            for voice in sorted(set(self.voices))
        }

    @property
    def seconds(self) -> float:
        return float(self.lengths.sum()) / self.rate_hz

    def cut(self, number: int, start: int, samples: int) -> Part:
        """Samples of one sound from `start` on, round and round where it ends."""
        sound = self.sounds[number]
        if isinstance(sound, Clip):
            begin = sound.start_s + start / self.rate_hz
            wanted = min(samples, int(self.lengths[number]) - start) / self.rate_hz
            sound, start = _stored(read(sound.path, self.rate_hz, begin, wanted), self.channels), 0
        return mix.fit(sound, samples, start).astype(np.float32) / 32767

    def crop(self, random: Random, samples: int) -> Part:
        """Any part of any sound; of a few tries the first that is not silent."""
        for _ in range(TRIES):
            number = int(random.choice(len(self.sounds), p=self.lengths / self.lengths.sum()))
            spare = max(0, int(self.lengths[number]) - samples)
            part = self.cut(number, int(random.integers(spare + 1)), samples)
            if mix.power(part) > QUIET**2:
                break
        return part

    def talk(self, random: Random, samples: int, voice: str) -> Part:
        """Utterances of one voice with short pauses, cut anywhere at both ends."""
        begin = int(random.integers(samples // 2 + 1))
        parts, held = [], 0
        while held < begin + samples:
            number = int(random.choice(self.of_voice[voice]))
            length = min(int(self.lengths[number]), begin + samples)
            pause = int(random.uniform(*PAUSE_S) * self.rate_hz)
            parts += [self.cut(number, 0, length), np.zeros((self.channels, pause), np.float32)]
            held += length + pause
        return np.concatenate(parts, axis=1)[:, begin : begin + samples]


def _stored(audio: Audio, channels: int) -> Stored:
    samples = audio.samples
    if channels == 1:
        samples = samples.mean(0, keepdims=True)
    elif len(samples) != channels:
        samples = np.repeat(samples.mean(0, keepdims=True), channels, axis=0)
    return np.round(samples.clip(-1, 1) * 32767).astype(np.int16)


class Mixtures:
    """Endless batches of mixtures; a kind of mixture says how one is made.

    samples: of each mixture.
    """

    def __init__(self, batch_size: int, samples: int, seed: int = 0):
        if batch_size < 1 or samples < 1:
            raise InputError(f"batches of {batch_size} mixtures of {samples} samples are not")
        self.batch_size, self.samples, self.seed, self.first = batch_size, samples, seed, 0

    def start_at(self, k: int) -> Mixtures:
        """Let the next iteration begin with batch k; returns itself."""
        self.first = k
        return self

    def __iter__(self) -> Iterator[Batch]:
        k = self.first
        while True:
            yield self.batch(k)
            k += 1

    def batch(self, k: int) -> Batch:
        """Batch k, made here and now."""
        random = random_of(self.seed, "mixture", k)
        rows = [within_scale(self.sources(random)) for _ in range(self.batch_size)]
        sources = torch.from_numpy(np.stack(rows))
        return {"mixture": sources.sum(1), "sources": sources}

    def sources(self, random: Random) -> Float32[np.ndarray, "sources channels n"]:
        """The parts of one mixture."""
        raise NotImplementedError


def within_scale(
    sources: Float32[np.ndarray, "s c n"],
) -> Float32[np.ndarray, "s c n"]:
    """The parts of a mixture, softer by one factor if it would be louder than PEAK."""
    peak = float(np.abs(sources.sum(0)).max())
    return sources * np.float32(PEAK / peak) if peak > PEAK else sources


def drawn_level(random: Random, low_db: float, high_db: float) -> float:
    """A root mean square between two levels below full scale."""
    return float(10 ** (random.uniform(low_db, high_db) / 20))


def at_level(part: Part, level: float) -> Part:
    """A sound at a root mean square; silence stays."""
    power = mix.power(part)
    return part * np.float32(level / power**0.5) if power > 0 else part


class SpeechInNoise(Mixtures):
    """(speech, noise): one talker and something else, `snr_db` apart.

    noises: kinds of noise, each as likely as its share says. rooms: half of the talkers stand in
    one, and what is wanted is their sound in it.
    """

    def __init__(
        self,
        speech: Pool,
        noises: Sequence[tuple[Pool, float]],
        batch_size: int,
        samples: int,
        seed: int = 0,
        snr_db: tuple[float, float] = (-5.0, 15.0),
        level_db: tuple[float, float] = (-35.0, -15.0),
        rooms: Rooms | None = None,
    ):
        super().__init__(batch_size, samples, seed)
        self.speech, self.noises, self.rooms = speech, list(noises), rooms
        self.snr_db, self.level_db = snr_db, level_db
        self.shares = np.array([share for _, share in noises]) / sum(s for _, s in noises)

    def sources(self, random: Random) -> Float32[np.ndarray, "sources channels n"]:
        voice = str(random.choice(list(self.speech.of_voice)))
        speech = self.speech.talk(random, self.samples, voice)
        if self.rooms is not None and random.random() < 0.5:
            speech = self.rooms.heard(speech, random)
        kind = self.noises[int(random.choice(len(self.noises), p=self.shares))][0]
        noise = kind.crop(random, self.samples)
        level, snr = drawn_level(random, *self.level_db), random.uniform(*self.snr_db)
        noise_level = level / 10 ** (snr / 20)
        return np.stack([at_level(speech, level), at_level(noise, noise_level)]).astype(np.float32)


class Talkers(Mixtures):
    """Different talkers at once (dynamic mixing): any utterances, levels, and speeds.

    level_db: how far the levels of two talkers may be apart. speed: talkers are made this much
    slower or faster, and with it lower or higher. noise: and its signal-to-noise ratio in dB; then
    it is the last source.
    """

    def __init__(
        self,
        speech: Pool,
        talkers: int,
        batch_size: int,
        samples: int,
        seed: int = 0,
        level_db: float = 5.0,
        speed: float = 0.1,
        noise: tuple[Pool, tuple[float, float]] | None = None,
        rooms: Rooms | None = None,
    ):
        super().__init__(batch_size, samples, seed)
        if len(speech.of_voice) < talkers:
            raise InputError(f"{len(speech.of_voice)} voices are too few for {talkers} talkers")
        self.speech, self.talkers, self.noise, self.rooms = speech, talkers, noise, rooms
        self.level_db, self.speed = level_db, speed

    def sources(self, random: Random) -> Float32[np.ndarray, "sources channels n"]:
        voices = random.permutation(list(self.speech.of_voice))[: self.talkers]
        room = self.rooms.draw(random) if self.rooms is not None else None
        parts = []
        for voice in voices:
            percent = 100 + round(100 * self.speed * float(random.uniform(-1, 1)))
            talk = self.speech.talk(random, self.samples * percent // 100 + 2, voice)
            part = resample(talk, percent * 80, 8000)  # as if played that much faster
            part = np.ascontiguousarray(part[:, : self.samples])
            if room is not None and self.rooms is not None:
                part = self.rooms.heard(part, random, room)
            parts.append(
                at_level(
                    part, drawn_level(random, -25 - self.level_db / 2, -25 + self.level_db / 2)
                )
            )
        if self.noise is not None:
            pool, snr_db = self.noise
            loud = sum(mix.power(part) for part in parts) ** 0.5
            level = loud / 10 ** (random.uniform(*snr_db) / 20)
            parts.append(at_level(pool.crop(random, self.samples), level))
        return np.stack(parts).astype(np.float32)


class Stems(Mixtures):
    """The parts of a song at one place, or of several songs at once.

    parts: stem -> its pool; the n-th sound of each pool belongs to the same song. together: how
    often the parts of a mixture are of one song and place; else every part is of any song. gains:
    between which each part's level is changed.
    """

    def __init__(
        self,
        parts: Mapping[str, Pool],
        batch_size: int,
        samples: int,
        seed: int = 0,
        together: float = 0.5,
        gains: tuple[float, float] = (0.5, 1.5),
        augment: Literal["channels", "none"] = "channels",
    ):
        super().__init__(batch_size, samples, seed)
        self.parts, self.together, self.gains, self.augment = dict(parts), together, gains, augment
        lengths = {tuple(pool.lengths.tolist()) for pool in self.parts.values()}
        if len(lengths) != 1:
            raise InputError("the parts of a song differ in length: they are not of one recording")

    def sources(self, random: Random) -> Float32[np.ndarray, "sources channels n"]:
        pools = list(self.parts.values())
        if random.random() < self.together:
            lengths = pools[0].lengths
            number = int(random.choice(len(lengths), p=lengths / lengths.sum()))
            spare = max(0, int(lengths[number]) - self.samples)
            start = int(random.integers(spare + 1))
            parts = [pool.cut(number, start, self.samples) for pool in pools]
        else:
            parts = [pool.crop(random, self.samples) for pool in pools]
        parts = [part * np.float32(random.uniform(*self.gains)) for part in parts]
        if self.augment == "channels" and parts[0].shape[0] == 2:
            parts = [part[::-1] if random.random() < 0.5 else part for part in parts]
            parts = [part * np.float32(random.choice([-1, 1])) for part in parts]
        return np.stack(parts).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Song:
    """Aligned stems of one recording, by name."""

    name: str
    stems: dict[str, Clip]


def songs(clips: Iterable[Clip], task: str = "stem") -> list[Song]:
    """Clips that share a group, as songs with stems by their label; only whole ones."""
    found: dict[str, dict[str, Clip]] = {}
    for clip in clips:
        if task in clip.labels:
            found.setdefault(clip.group, {})[clip.labels[task]] = clip
    names = set().union(*found.values()) if found else set()
    return [Song(group, stems) for group, stems in found.items() if set(stems) == names]


def pools_of(some: Sequence[Song], rate_hz: int, channels: int) -> dict[str, Pool]:
    """stem -> pool, in the order of the songs."""
    if not some:
        raise InputError("there are no songs with stems")
    return {
        stem: Pool([song.stems[stem] for song in some], rate_hz, channels)
        for stem in sorted(some[0].stems)
    }
