"""Anchor segments: where in a weakly labelled clip its class is surest, and mixtures of two.

A clip is only known to hold a class somewhere. A tagger that answers frame by frame says where;
what was found in two clips of different classes is mixed. Kong et al. 2023 (USS), sections III.A
and III.B.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from sonograph.audio.feature_spec import Frontend
from sonograph.data.mix import power
from sonograph.data.mixtures import PEAK, Batch, Mixtures, Pool, Random
from sonograph.data.sampler import random_of
from sonograph.errors import InputError

PIECE_S = 10.0  # of a long clip is listened to at once
GAIN = (0.02, 50.0)  # the second segment is brought to the energy of the first within this


def framewise(
    tagger: Any, waveform: Float[Tensor, "n"], label: int, piece_s: float = PIECE_S
) -> Float[Tensor, "frames"]:
    """The probability of one label in every frame of a clip, by a tagger with `events`."""
    frontend, size = Frontend(tagger.spec), round(piece_s * tagger.spec.rate_hz)
    found = []
    with torch.inference_mode():
        for piece in waveform.split(size):
            features = frontend(piece[None])
            found.append(tagger.events(features.values, features.lengths)[0, label])
    return torch.cat(found)


def surest(probabilities: Float[Tensor, "frames"], segment_frames: int) -> int:
    """The first frame of the segment in which a label is surest, or 0 in a shorter clip.

    The mean over a box as long as a segment, ends repeated; the box's best centre, moved inside.

    >>> surest(torch.tensor([0.0, 0, 0, 0, 1, 1, 0, 0]), segment_frames=2)
    3
    """
    half, frames = segment_frames // 2, len(probabilities)
    if frames <= 2 * half:
        return 0
    ends = pad(probabilities[None, None], (half, half), mode="replicate")
    centre = int(avg_pool1d(ends, 2 * half + 1, 1).argmax())
    return min(max(centre, half), frames - half) - half


def mined(tagger: Any, waveform: Float[Tensor, "n"], label: int, samples: int) -> int:
    """The first sample of the segment of so many samples in which a label is surest."""
    step = tagger.event_step * tagger.spec.hop_samples
    first = surest(framewise(tagger, waveform, label), round(samples / step)) * step
    return min(first, max(0, len(waveform) - samples))


@dataclasses.dataclass(frozen=True)
class Anchor:
    """A segment of a sound of a pool. start None: anywhere, drawn anew whenever it is used."""

    sound: int
    label: str
    start: int | None = None


def anchors(
    pool: Pool,
    labels: Sequence[Sequence[str]],
    samples: int,
    tagger: Any = None,
    how: Literal["mined", "random"] = "mined",
) -> list[Anchor]:
    """An anchor for each label of each sound of a pool.

    Labels that the tagger does not know are anywhere, and all are where `how` is "random" (the
    ablation).
    """
    if len(labels) != len(pool.sounds):
        raise InputError(f"{len(labels)} rows of labels for {len(pool.sounds)} sounds")
    known = {} if tagger is None or how == "random" else {n: k for k, n in enumerate(tagger.labels)}
    if tagger is not None and tagger.spec.rate_hz != pool.rate_hz:
        raise InputError(
            f"the tagger hears {tagger.spec.rate_hz} Hz, the sounds are at {pool.rate_hz} Hz"
        )
    found = []
    for number, names in enumerate(labels):
        for name in names:
            start = None
            if name in known and pool.lengths[number] > samples:
                sound = torch.from_numpy(pool.cut(number, 0, int(pool.lengths[number]))[0])
                start = mined(tagger, sound, known[name], samples)
            found.append(Anchor(number, name, start))
    return found


def energy_matched(
    first: Float32[np.ndarray, "*c n"], second: Float32[np.ndarray, "*c n"]
) -> Float32[np.ndarray, "*c n"]:
    """The second sound at the energy of the first, made at most 50 times louder or softer."""
    gain = (power(first) / max(power(second), 1e-10)) ** 0.5
    return second * np.float32(min(max(gain, GAIN[0]), GAIN[1]))


class AnchorMixtures(Mixtures):
    """Mixtures of two anchors of different classes; every class is drawn equally often.

    The first source is the one that is asked for: in a batch, each anchor is wanted once, and is
    what another one is hidden in. level_db: between which the level of what is wanted is drawn;
    None leaves it as it is.
    """

    def __init__(
        self,
        pool: Pool,
        anchors: Sequence[Anchor],
        batch_size: int,
        samples: int,
        seed: int = 0,
        level_db: tuple[float, float] | None = None,
    ):
        super().__init__(batch_size, samples, seed)
        self.pool, self.level_db = pool, level_db
        self.of_class: dict[str, list[Anchor]] = {}
        for anchor in anchors:
            self.of_class.setdefault(anchor.label, []).append(anchor)
        self.of_class = dict(sorted(self.of_class.items()))
        if len(self.of_class) < 2:
            raise InputError("mixtures need sounds of two classes at least")

    def classes_of(self, random: Random) -> list[str]:
        """A class for each anchor of a batch; neighbours differ, the last and first one too."""
        names = [str(name) for name in random.permutation(list(self.of_class))]
        told = [names[k % len(names)] for k in range(max(2, self.batch_size))]
        if told[-1] == told[0]:
            told[-1] = names[1] if told[-2] != names[1] else names[-1]
        return told

    def asked_for(self, k: int) -> list[str]:
        """The classes that are wanted in batch k, in the order of its clips."""
        return self.classes_of(random_of(self.seed, "mixture", k))[: self.batch_size]

    def segment(self, anchor: Anchor, random: Random) -> Float32[np.ndarray, "c n"]:
        start = anchor.start
        if start is None:
            spare = max(0, int(self.pool.lengths[anchor.sound]) - self.samples)
            start = int(random.integers(spare + 1))
        return self.pool.cut(anchor.sound, start, self.samples)

    def segments(self, random: Random) -> Iterator[Float32[np.ndarray, "c n"]]:
        """The anchors of a batch."""
        for name in self.classes_of(random):  # the first draw, see `asked_for`
            some = self.of_class[name]
            yield self.segment(some[int(random.integers(len(some)))], random)

    def batch(self, k: int) -> Batch:
        """Batch k, made here and now."""
        random = random_of(self.seed, "mixture", k)
        parts = list(self.segments(random))
        rows = []
        for first, second in list(zip(parts, [*parts[1:], parts[0]]))[: self.batch_size]:
            pair = np.stack([first, energy_matched(first, second)])
            scale = 1.0
            if self.level_db is not None and power(first) > 0:
                scale = 10 ** (random.uniform(*self.level_db) / 20) / power(first) ** 0.5
            peak = float(np.abs(pair.sum(0)).max()) * scale
            rows.append(pair * np.float32(scale * min(1.0, PEAK / max(peak, 1e-9))))
        sources = torch.from_numpy(np.stack(rows).astype(np.float32))
        return {"mixture": sources.sum(1), "sources": sources}
