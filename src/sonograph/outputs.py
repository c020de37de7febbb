"""What the verbs give back: small typed results that can be saved and turned into plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32

from sonograph.errors import InputError
from sonograph.writing import write_whole

if TYPE_CHECKING:
    from sonograph.audio.feature_spec import FeatureSpec


KEYS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound in memory.

    samples: (channels, n), full scale is [-1, 1]; one-dimensional input becomes one channel.
    """

    samples: Float32[np.ndarray, "channels n"]
    rate_hz: int

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples)
        if samples.dtype.kind not in "f":
            raise InputError(
                f"audio samples are {samples.dtype}: give floats with full scale at 1.0"
            )
        samples = np.atleast_2d(samples).astype(np.float32, copy=False)
        if samples.ndim != 2 or samples.shape[0] == 0:
            raise InputError(f"audio samples have shape {samples.shape}: give (channels, n)")
        if int(self.rate_hz) != self.rate_hz or self.rate_hz <= 0:
            raise InputError(f"a sample rate of {self.rate_hz} Hz is not possible")
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "rate_hz", int(self.rate_hz))

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def duration_s(self) -> float:
        return self.samples.shape[1] / self.rate_hz

    def mono(self) -> Audio:
        """The mean of the channels."""
        if self.channels == 1:
            return self
        return Audio(self.samples.mean(axis=0, keepdims=True), self.rate_hz)

    def resample(self, rate_hz: int) -> Audio:
        """The same sound at another rate (soxr, high quality)."""
        from sonograph.audio.resample import resample

        return Audio(resample(self.samples, self.rate_hz, rate_hz), rate_hz)

    def write(self, path: str | Path, subtype: str | None = None) -> None:
        """Write to a file; the format follows the suffix, see `sonograph.audio.io.write`."""
        from sonograph.audio.io import write

        write(path, self, subtype)

    def to_json(self) -> dict[str, Any]:
        """What this is in plain values, without the samples."""
        return {
            "rate_hz": self.rate_hz,
            "channels": self.channels,
            "frames": self.samples.shape[1],
            "duration_s": self.duration_s,
        }


@dataclass(frozen=True, eq=False)
class Embedding:
    """One vector for each sound: values (sounds, width), in the order of `names`."""

    values: np.ndarray
    names: tuple[str, ...]
    model: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def save(self, path: str | Path) -> Path:
        """Write a .npz with arrays `values` and `names`; it appears whole or not at all."""
        import io

        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, values=self.values, names=np.array(self.names), model=np.array(self.model)
        )
        return write_whole(path, buffer.getvalue())

    @classmethod
    def open(cls, path: str | Path) -> Embedding:
        """What `save` wrote. Raises InputError for anything else."""
        import zipfile

        try:
            with np.load(path, allow_pickle=False) as file:
                names = tuple(str(name) for name in file["names"])
                return cls(file["values"], names, str(file["model"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise InputError(f"{path} is no file that `sonograph embed -o` wrote") from None

    def to_json(self) -> dict[str, Any]:
        rows = zip(self.names, self.values.tolist())
        return {"model": self.model, "vectors": [{"name": n, "values": v} for n, v in rows]}


def features_of_file(path: str | Path, spec: FeatureSpec) -> Float32[np.ndarray, "rows t"]:
    """Features that were saved: a .npy of (rows, frames), or a .npz of `features` and `spec`.

    spec: what they have to be; a .npz that tells its own is held against it, field by field.
    """
    import json
    import zipfile

    from sonograph.audio.feature_spec import FeatureSpec

    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                values, told = found, None
            else:
                values, told = found["features"], str(found["spec"])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise InputError(
            f"{path} holds no features: a .npy, or a .npz that was saved here"
        ) from None
    if told is not None:
        own = FeatureSpec.from_dict(json.loads(told))
        own.require_equal(spec, str(path), "the vocoder")
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or values.shape[0] != spec.rows or values.dtype.kind != "f":
        raise InputError(
            f"{path} holds {values.dtype} of shape {values.shape}: give ({spec.rows}, frames)"
        )
    return values.astype(np.float32)


def spec_of_file(path: str | Path) -> FeatureSpec | None:
    """The recipe that a .npz of features tells; None of anything else."""
    import json
    import zipfile

    from sonograph.audio.feature_spec import FeatureSpec

    if Path(path).suffix != ".npz":
        return None
    try:
        with np.load(path, allow_pickle=False) as found:
            return FeatureSpec.from_dict(json.loads(str(found["spec"])))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_features(path: str | Path, values: np.ndarray, spec: FeatureSpec) -> Path:
    """Write features (rows, frames) with their recipe as a .npz, whole or not at all."""
    import io
    import json

    buffer = io.BytesIO()
    np.savez_compressed(buffer, features=values, spec=np.array(json.dumps(spec.to_dict())))
    return write_whole(path, buffer.getvalue())


@dataclass(frozen=True)
class Span:
    """A stretch of a sound and its most probable label."""

    start_s: float
    end_s: float
    label: str
    score: float


class Tag(NamedTuple):
    """A label and how probable it is."""

    label: str
    score: float


@dataclass(frozen=True)
class Tags:
    """Labels of a sound with their scores, and the stretches in which they are heard.

    A score below `least` is a guess: `known` leaves it out, and may be empty.
    """

    name: str
    scores: dict[str, float]
    spans: tuple[Span, ...] = ()
    least: float = 0.0

    def top(self, count: int = 5) -> list[Tag]:
        """The most probable labels, best first."""
        return [
            Tag(*item) for item in sorted(self.scores.items(), key=lambda item: -item[1])[:count]
        ]

    def known(self, count: int = 5) -> list[Tag]:
        """The most probable labels among those that are sure enough."""
        return [tag for tag in self.top(count) if tag.score >= self.least]

    def to_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return {
            "name": self.name,
            "known": [tag.label for tag in self.known(len(self.scores))],
            "scores": self.scores,
            "spans": [asdict(s) for s in self.spans],
        }

    def to_audacity(self) -> str:
        """The spans as a label track for Audacity: start, end and label, with tabs between."""
        return "".join(f"{s.start_s:.6f}\t{s.end_s:.6f}\t{s.label}\n" for s in self.spans)


@dataclass(frozen=True)
class SpokenWord:
    """A word with its place in the text, text[start:end], and when it is said."""

    word: str
    start: int
    end: int
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class Said:
    """A sentence and its sound. Times count from the start of the first sentence."""

    text: str
    audio: Audio
    start_s: float
    words: tuple[SpokenWord, ...]

    @property
    def end_s(self) -> float:
        return self.start_s + self.audio.duration_s

    def to_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return {
            "text": self.text,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "words": [asdict(word) for word in self.words],
        }


def subtitles(said: Sequence[Said], form: Literal["srt", "vtt"]) -> str:
    """Sentences as SubRip or WebVTT subtitles.

    >>> print(subtitles([Said("Hi.", Audio(np.zeros((1, 8000)), 8000), 0.0, ())], "srt"), end="")
    1
    00:00:00,000 --> 00:00:01,000
    Hi.
    """

    def clock(seconds: float) -> str:
        whole, mark = round(seconds * 1000), "," if form == "srt" else "."
        minutes, rest = divmod(whole, 60_000)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"

    blocks = ["WEBVTT\n"] if form == "vtt" else []
    for number, one in enumerate(said, 1):
        line = " ".join(one.text.split())
        blocks.append(f"{number}\n{clock(one.start_s)} --> {clock(one.end_s)}\n{line}\n")
    return "\n".join(blocks)


@dataclass(frozen=True)
class Note:
    """A sung or played note; pitch in MIDI numbers, 69 is 440 Hz, fractions are cents.

    >>> Note(0.0, 0.5, 57).frequency_hz
    220.0
    """

    onset_s: float
    offset_s: float
    pitch: float
    score: float = 1.0

    @property
    def frequency_hz(self) -> float:
        return 440.0 * 2.0 ** ((self.pitch - 69) / 12)

    @property
    def name(self) -> str:
        """The nearest key as musicians write it: 60 is C4."""
        octave, step = divmod(round(self.pitch), 12)
        return f"{KEYS[step]}{octave - 1}"


@dataclass(frozen=True)
class Notes:
    """The notes of a sound in the order of their onsets."""

    name: str
    notes: tuple[Note, ...]

    def to_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        rows = [asdict(note) | {"key": note.name} for note in self.notes]
        return {"name": self.name, "notes": rows}


@dataclass(frozen=True)
class Match:
    """A sound of a collection and its similarity to the query, -1 to 1."""

    name: str
    score: float


@dataclass(frozen=True)
class Matches:
    """What a search found, the nearest first."""

    query: str
    matches: tuple[Match, ...]

    def to_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return {"query": self.query, "matches": [asdict(match) for match in self.matches]}
