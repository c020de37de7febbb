"""Recordings with their text, made ready to learn speech from.

    speech = Speech.prepare(clips, spec, encode, measured_folder())
    for batch in SpeechBatches(speech.part("train"), batch_size=16).start_at(1_200): ...

with encode = encode_with("arpabet") for a model that reads that alphabet.

What cannot be learned from is left out and listed (`Speech.dropped`): clips without text, with tone
marks (`[beep]`), longer than twelve seconds, with fewer frames than tokens. Silence at both ends is
cut: what lies 40 dB below the clip's loudest 20 ms, but for a margin of 50 ms.

Features, F0 and energy of a clip are computed once and kept in `folder`, a file a clip, under a
name that says from which file, which stretch and which recipe they come.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Float

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.data.clips import Clip, Clips
from sonograph.data.sampler import ByLength
from sonograph.errors import InputError
from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.progress import Progress, silent
from sonograph.writing import write_whole

LONGEST_S = 12.0
QUIET_DB = 40.0  # below the loudest 20 ms of a clip: silence
MARGIN_S = 0.05  # of it that is left at either end
EDITION = 1  # of what a kept file holds
Part = Literal["train", "valid", "test", "all"]

# A clip's text as numbers of tokens (0 is none) and the word that each of them belongs to.
Encode = Callable[[Clip], tuple[Sequence[int], Sequence[int]]]


def measured_folder() -> Path:
    """Where what was measured is kept: with the corpora, for all runs and systems."""
    from sonograph.data.corpora import data_folder

    return data_folder() / "measured"


def encode_with(alphabet: str) -> Encode:
    """The tokens of a clip's text, said in its language (English if it is not known)."""

    def encode(clip: Clip) -> tuple[Sequence[int], Sequence[int]]:
        from sonograph.text.utterance import utterance

        return utterance(clip.text or "", clip.language or "en", alphabet).encode()

    return encode


@dataclasses.dataclass(frozen=True)
class Dropped:
    """A clip that is not learned from, and why."""

    id: str
    text: str
    why: str


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip made ready: its tokens, and where its numbers are kept."""

    id: str
    text: str
    ids: tuple[int, ...]
    words: tuple[int, ...]
    frames: int
    kept: Path
    start_s: float  # of what is left of the clip when silence is cut
    end_s: float

    def read(self) -> tuple[Float[np.ndarray, "rows t"], np.ndarray, np.ndarray]:
        """Features (rows, t), F0 (t,) and energy (t,)."""
        with np.load(self.kept, allow_pickle=False) as file:
            return file["features"], file["pitch_hz"], file["energy"]


class Speech:
    """A corpus made ready for one recipe of features and one alphabet."""

    def __init__(self, spec: FeatureSpec, items: Sequence[Item], dropped: Sequence[Dropped]):
        self.spec, self.items, self.dropped = spec, list(items), list(dropped)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return (
            f"Speech({len(self)} clips, {self.seconds / 60:.1f} min, {len(self.dropped)} dropped)"
        )

    @property
    def seconds(self) -> float:
        return sum(item.frames for item in self.items) / self.spec.frame_rate_hz

    @classmethod
    def prepare(
        cls,
        clips: Clips,
        spec: FeatureSpec,
        encode: Encode,
        folder: str | Path,
        longest_s: float = LONGEST_S,
        progress: Progress = silent,
    ) -> Speech:
        """Read, trim and measure every clip that is not in `folder` yet; the rest is listed.

        Raises InputError if nothing is left.
        """
        frontend, folder = Frontend(spec), Path(folder)
        items: list[Item] = []
        dropped: list[Dropped] = []
        for number, clip in enumerate(clips):
            made = _item(clip, spec, frontend, encode, folder, longest_s)
            if isinstance(made, Item):
                items.append(made)
            else:
                dropped.append(Dropped(clip.id, clip.text or "", made))
            progress(number + 1, len(clips), "measuring speech")
        if not items:
            reason = f" (the first one: {dropped[0].why})" if dropped else ""
            raise InputError(f"none of {len(clips)} clips can be learned from{reason}")
        return cls(spec, items, dropped)

    def part(self, name: Part, seed: int = 0) -> Self:
        """A twentieth of the clips for "valid", one for "test", by a hash of their names."""
        kept = copy.copy(self)
        if name != "all":
            kept.items = [item for item in self.items if _part_of(item.id, seed) == name]
        return kept

    def batch(self, rows: Sequence[int]) -> SpeechBatch:
        """These clips as one batch, padded with zeros."""
        items = [self.items[row] for row in rows]
        n, t = max(len(item.ids) for item in items), max(item.frames for item in items)
        ids = torch.zeros(len(items), n, dtype=torch.int64)
        words = torch.zeros_like(ids)
        features = torch.zeros(len(items), self.spec.rows, t)
        pitch_hz, energy = torch.zeros(len(items), t), torch.zeros(len(items), t)
        for k, item in enumerate(items):
            values, f0, loudness = item.read()
            ids[k, : len(item.ids)] = torch.tensor(item.ids)
            words[k] = item.words[-1]  # padding goes on with the last word: never falling
            words[k, : len(item.ids)] = torch.tensor(item.words)
            features[k, :, : item.frames] = torch.from_numpy(values)
            pitch_hz[k, : item.frames] = torch.from_numpy(f0)
            energy[k, : item.frames] = torch.from_numpy(loudness)
        text = Text(ids, torch.tensor([len(item.ids) for item in items]), words)
        lengths = torch.tensor([item.frames for item in items])
        return SpeechBatch(text, features, lengths, None, pitch_hz, energy)

    def mean_features(self) -> Float[np.ndarray, " rows"]:
        """Mean of each row over all frames."""
        sums, count = np.zeros(self.spec.rows), 0
        for item in self.items:
            values, _, _ = item.read()
            sums, count = sums + values.sum(1), count + values.shape[1]
        return (sums / count).astype(np.float32)

    def moments(self) -> tuple[Float[torch.Tensor, " rows"], Float[torch.Tensor, " rows"]]:
        """Mean and deviation of each row of the features, over all frames."""
        sums, squares, count = 0.0, 0.0, 0
        for item in self.items:
            values = item.read()[0].astype(np.float64)
            sums, squares = sums + values.sum(1), squares + np.square(values).sum(1)
            count += values.shape[1]
        mean = np.asarray(sums) / count
        deviation = np.sqrt(np.maximum(np.asarray(squares) / count - np.square(mean), 1e-4))
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()

    def statistics(self) -> dict[str, tuple[float, float]]:
        """Mean and deviation over all frames: of F0 in Hz where voiced, of energy."""
        found: dict[str, list[np.ndarray]] = {"pitch_hz": [], "energy": []}
        for item in self.items:
            _, f0, loudness = item.read()
            found["pitch_hz"].append(f0[f0 > 0])
            found["energy"].append(loudness)
        out = {}
        for name, parts in found.items():
            values = np.concatenate(parts).astype(np.float64)
            fine = len(values) > 1 and values.std() > 0
            out[name] = (float(values.mean()), float(values.std())) if fine else (0.0, 1.0)
        return out


class SpeechBatches:
    """An endless stream of batches: whole clips, each once an epoch, near lengths together.

    Batch k depends on the clips, the seed and k alone.

    frames: the most of one batch, padding counted. workers: processes that read ahead.
    """

    def __init__(
        self,
        speech: Speech,
        batch_size: int,
        frames: int = 8000,
        seed: int = 0,
        workers: int = 0,
    ):
        if len(speech) == 0:
            raise InputError("there are no clips to make batches of")
        if workers < 0:
            raise InputError(f"{workers} workers cannot read ahead: give 0 or more")
        self.speech, self.workers, self.first = speech, workers, 0
        lengths = [float(item.frames) for item in speech.items]
        self.sampler = ByLength(lengths, batch_size, frames, seed)

    def start_at(self, k: int) -> SpeechBatches:
        """Let the next iteration begin with batch k; returns itself."""
        if k < 0:
            raise InputError(f"there is no batch {k}")
        self.first = k
        return self

    def rows(self, k: int) -> list[int]:
        """Which clips make up batch k."""
        return [draw.index for draw in self.sampler(k)]

    def batch(self, k: int) -> SpeechBatch:
        """Batch k, read here and now."""
        return self.speech.batch(self.rows(k))

    def __iter__(self) -> Iterator[SpeechBatch]:
        from sonograph.data.loader import _loaded

        return _loaded(self.batch, itertools.count(self.first), self.workers)  # type: ignore[return-value]


def in_order(speech: Speech, batch_size: int, frames: int = 8000) -> Iterator[SpeechBatch]:
    """Every clip once, the short ones first: to measure with."""
    order = sorted(range(len(speech)), key=lambda row: (speech.items[row].frames, row))
    rows: list[int] = []
    for row in order:
        if rows and (
            len(rows) == batch_size or (len(rows) + 1) * speech.items[row].frames > frames
        ):
            yield speech.batch(rows)
            rows = []
        rows.append(row)
    if rows:
        yield speech.batch(rows)


def voiced_bounds(waveform: Float[np.ndarray, " n"], rate_hz: int) -> tuple[int, int]:
    """First and last sample of what is not silence at the ends, a margin of it left.

    >>> sound = np.r_[np.zeros(8000), np.ones(8000), np.zeros(8000)]
    >>> voiced_bounds(sound, 16000)
    (7200, 16800)
    """
    size = max(1, rate_hz // 50)  # 20 ms
    count = -(-len(waveform) // size)
    padded = np.zeros(count * size)
    padded[: len(waveform)] = waveform
    power = (padded.reshape(count, size) ** 2).mean(1)
    heard = np.flatnonzero((power > power.max() * 10 ** (-QUIET_DB / 10)) & (power > 0))
    if len(heard) == 0:
        return 0, len(waveform)
    margin = round(MARGIN_S * rate_hz)
    first, last = heard[0] * size - margin, (heard[-1] + 1) * size + margin
    return max(0, int(first)), min(len(waveform), int(last))


# --- one clip ------------------------------------------------------------------------------------


def _item(
    clip: Clip,
    spec: FeatureSpec,
    frontend: Frontend,
    encode: Encode,
    folder: Path,
    longest_s: float,
) -> Item | str:
    """A clip made ready, or in words why it is not learned from."""
    text = (clip.text or "").strip()
    if not text:
        return "it has no text"
    if "[" in text:
        return "its text has marks of tones"
    try:
        ids, words = encode(clip)
    except InputError as error:
        return f"its text cannot be said: {error}"
    if len(ids) == 0:
        return "its text has no token"
    if clip.duration_s > 3 * longest_s:  # not worth reading
        return f"it is longer than {longest_s:g} s"
    kept = folder / f"{_mark(clip, spec)}.npz"
    if not kept.is_file():
        write_whole(kept, _measured(clip, spec, frontend))
    with np.load(kept, allow_pickle=False) as file:
        start_s, end_s = file["bounds_s"].tolist()
        frames = int(file["pitch_hz"].shape[0])
    if end_s - start_s > longest_s:
        return f"it is longer than {longest_s:g} s"
    if frames < len(ids):
        return f"its {frames} frames are fewer than its {len(ids)} tokens"
    return Item(clip.id, text, tuple(ids), tuple(words), frames, kept, start_s, end_s)


def _measured(clip: Clip, spec: FeatureSpec, frontend: Frontend) -> bytes:
    """Features, F0, energy and the bounds of what is left of the clip, as a file's content."""
    from sonograph.audio.pitch import energy, f0_hz

    waveform = clip.read(spec.rate_hz)
    start, end = voiced_bounds(waveform, spec.rate_hz)
    waveform = np.ascontiguousarray(waveform[start:end], np.float32)
    values = frontend(torch.from_numpy(waveform)[None]).values[0].numpy()
    out = io.BytesIO()
    np.savez(
        out,
        features=values,
        pitch_hz=f0_hz(waveform.astype(np.float64), spec),
        energy=energy(waveform.astype(np.float64), spec),
        bounds_s=np.array([start, end]) / spec.rate_hz,
    )
    return out.getvalue()


def _mark(clip: Clip, spec: FeatureSpec) -> str:
    """A name for what is measured of a clip; another one if file, stretch or recipe change."""
    about = clip.path.stat() if clip.path.exists() else None
    parts = [
        str(clip.path.resolve()),
        f"{about.st_size} {about.st_mtime_ns}" if about else "",
        f"{clip.start_s} {clip.duration_s}",
        spec.to_json(),
        f"{EDITION} {QUIET_DB} {MARGIN_S}",
    ]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()


def _part_of(name: str, seed: int) -> str:
    share = int.from_bytes(
        hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=4).digest(), "big"
    )
    place = share / 2**32
    return "valid" if place < 0.05 else "test" if place < 0.1 else "train"


# --- what was said wrongly -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Suspicion:
    """A clip whose transcript fits its sound worse than those of the others do."""

    id: str
    text: str
    score: float  # mean log weight of its path, per frame
    deviations: float  # below the corpus, in robust standard deviations


def suspicious(
    speech: Speech, scores: Float[np.ndarray, " clips"], limit: float = 3.0
) -> list[Suspicion]:
    """Clips whose score lies more than `limit` robust deviations below the corpus, worst first.

    scores: of every clip of `speech`, in order; see `scores_of`. Median and median absolute
    deviation, so that many wrong ones do not hide each other; scores fall with the number of
    tokens that compete for a frame, which a straight line through the logarithm takes out.
    """
    if len(scores) != len(speech):
        raise InputError(f"{len(scores)} scores for {len(speech)} clips")
    if len(scores) < 3:
        return []
    tokens = np.log([len(item.ids) for item in speech.items])
    slope = _robust_slope(tokens, scores)
    rest = scores - slope * tokens
    middle = np.median(rest)
    spread = 1.4826 * np.median(np.abs(rest - middle)) + 1e-9
    below = (middle - rest) / spread
    order = np.argsort(-below)
    return [
        Suspicion(speech.items[k].id, speech.items[k].text, float(scores[k]), float(below[k]))
        for k in order.tolist()
        if below[k] > limit
    ]


def _robust_slope(x: np.ndarray, y: np.ndarray) -> float:
    """Theil and Sen's: the median slope of pairs (of neighbours far apart in x)."""
    order = np.argsort(x, kind="stable")
    half = len(x) // 2
    rise = y[order][half:][: len(x) - half] - y[order][: len(x) - half]
    run = x[order][half:][: len(x) - half] - x[order][: len(x) - half]
    fine = run > 1e-6
    return float(np.median(rise[fine] / run[fine])) if fine.any() else 0.0
