"""One type for every set of sounds: `Clips`, a thin facade over lhotse's cuts.

A clip is a stretch of a sound file with labels, text, a speaker, a group and a licence. Clips that
share a group (or a file) always fall on the same side of a split, so that a split cannot leak.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sonograph.errors import InputError, did_you_mean, missing_extra

if TYPE_CHECKING:
    from lhotse import CutSet

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Clip:
    """A stretch of a sound file and what is known about it.

    `labels` maps a task to this clip's class in it. `group` names what must not be torn apart by a
    split (a recording session, a speaker, a song); `split` is the published split, if there is one:
    "train", "valid", "test", or "fold1" and so on. `file_frames` is the length of the whole file.
    """

    id: str
    path: Path
    duration_s: float
    rate_hz: int
    start_s: float = 0.0
    channels: int = 1
    file_frames: int = 0
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    text: str | None = None
    language: str | None = None
    speaker: str | None = None
    group: str = ""
    split: str | None = None
    licence: str = ""
    source: str = ""
    synthetic: bool = False

    def read(self, rate_hz: int | None = None) -> np.ndarray:
        """The samples as mono float32 of shape (samples,), at `rate_hz` or at the file's rate."""
        from sonograph.audio.io import read

        audio = read(
            self.path,
            rate_hz=rate_hz,
            start_s=self.start_s,
            duration_s=self.duration_s,
            channels="mono",
        )
        return audio.samples[0]


class Clips(Sequence[Clip]):
    """A list of clips: `len`, indexing, `for`, and the ways to narrow and divide it.

    >>> Clips([]).split("train")
    Clips(0 clips, 0.0 min)
    """

    def __init__(self, clips: Iterable[Clip] | CutSet):
        from_cuts = not isinstance(clips, list | tuple) and hasattr(clips, "is_lazy")
        self._cuts = clips.to_eager() if from_cuts else None  # type: ignore[union-attr]
        self._clips: list[Clip]
        if self._cuts is not None:
            self._clips = [_clip_of(cut) for cut in self._cuts]
        else:
            self._clips = list(clips)  # type: ignore[arg-type]
        for name, count in Counter(clip.id for clip in self._clips).most_common(1):
            if count > 1:
                raise InputError(f"two clips have the id {name!r}: give every clip its own")

    # --- where clips come from

    @classmethod
    def from_cuts(cls, cuts: CutSet) -> Clips:
        """Clips of lhotse cuts; labels, group and licence are read from the custom fields."""
        return cls(cuts)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Clips:
        """Clips of a folder, a CSV, a JSONL (ours, lhotse's or plain) or a published set."""
        from sonograph.data.layouts import open_path

        return open_path(Path(path))

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> Clips:
        """Every sound below a folder; the first sub-folder's name is the label of task "class"."""
        from sonograph.data.layouts import open_folder

        return open_folder(Path(folder))

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> Clips:
        """Rows with a column `path`; see `sonograph.data.layouts.open_csv` for the others."""
        from sonograph.data.layouts import open_csv

        return open_csv(Path(path))

    @classmethod
    def from_jsonl(cls, path: str | os.PathLike[str]) -> Clips:
        """One JSON object a line: what `save` wrote, lhotse cuts, or plain rows as in a CSV."""
        from sonograph.data.layouts import open_jsonl

        return open_jsonl(Path(path))

    # --- a list

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Clips(self._clips[index])
        return self._clips[index]

    def __iter__(self) -> Iterator[Clip]:
        return iter(self._clips)

    def __add__(self, other: Clips) -> Clips:
        return Clips([*self._clips, *other])

    def __repr__(self) -> str:
        return f"Clips({len(self)} clips, {self.seconds / 60:.1f} min)"

    @property
    def seconds(self) -> float:
        """How long all clips last together."""
        return sum(clip.duration_s for clip in self._clips)

    # --- narrowing

    def filter(self, keep: Callable[[Clip], bool]) -> Clips:
        """The clips for which `keep` is true, in the same order."""
        return Clips([clip for clip in self._clips if keep(clip)])

    def tasks(self) -> dict[str, int]:
        """Every task that has labels here, with its number of labelled clips."""
        return dict(Counter(task for clip in self._clips for task in clip.labels))

    def labelled(self, task: str) -> Clips:
        """The clips that have a label in this task. Raises InputError if there is none."""
        self._require(task)
        return self.filter(lambda clip: task in clip.labels)

    def classes(self, task: str) -> list[str]:
        """The classes of a task in alphabetic order. Raises InputError if no clip has one."""
        self._require(task)
        return sorted({clip.labels[task] for clip in self._clips if task in clip.labels})

    def _require(self, task: str) -> None:
        known = self.tasks()
        if task not in known:
            have = ", ".join(sorted(known)) or "no labels at all"
            hint = did_you_mean(task, known)
            raise InputError(f"no clip has a label for {task!r}: they have {have}.{hint}")

    # --- dividing

    def split(
        self,
        name: str,
        by: Literal["group", "speaker"] = "group",
        fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
        seed: int = 0,
    ) -> Clips:
        """The clips of "train", "valid" or "test"; of one fold with "fold1" and so on.

        A published split is used where the clips have one (of folds, the last is the test and the
        one before it the validation split). Otherwise each group is drawn by a hash of its name and
        the seed: the same on every machine, whatever else is in the set. Clips of one group or one
        file stay together; `by="speaker"` keeps those of one speaker together as well.
        """
        published = {clip.split for clip in self._clips} - {None}
        if name in published:
            return self.filter(lambda clip: clip.split == name)
        if name not in SPLITS:
            known = [*SPLITS, *sorted(str(one) for one in published)]
            raise InputError(f"there is no split {name!r}.{did_you_mean(name, known)}")
        folds = sorted(str(one) for one in published if str(one).startswith("fold"))
        if len(folds) > 2:
            part = {"train": folds[:-2], "valid": folds[-2:-1], "test": folds[-1:]}[name]
            return self.filter(lambda clip: clip.split in part)
        if published & set(SPLITS):  # a published split without this part, as test without valid
            return self.filter(lambda clip: clip.split == name)
        if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
            raise InputError(f"fractions {fractions} of a split must be positive and sum to 1")
        first, second = fractions[0], fractions[0] + fractions[1]

        def part_of(key: str) -> str:
            place = _unit(f"{seed}:{key}")
            return "train" if place < first else "valid" if place < second else "test"

        keys = self._tied(by)
        return Clips([clip for clip, key in zip(self._clips, keys) if part_of(key) == name])

    def folds(
        self, task: str, count: int = 5, by: Literal["group", "speaker"] = "group", seed: int = 0
    ) -> list[tuple[Clips, Clips]]:
        """`count` pairs (train, test) with balanced classes and no group on both sides.

        Published folds are used where the clips have as many. Otherwise groups are dealt out, the
        largest first, each to the fold that has the fewest clips of its classes so far.
        """
        clips = self.labelled(task)
        published = sorted({clip.split or "" for clip in clips})
        if len(published) == count and all(name.startswith("fold") for name in published):
            assigned = [published.index(clip.split or "") for clip in clips]
        else:
            assigned = _deal(clips, clips._tied(by), task, count, seed)
        return [
            (
                Clips([clip for clip, fold in zip(clips, assigned) if fold != k]),
                Clips([clip for clip, fold in zip(clips, assigned) if fold == k]),
            )
            for k in range(count)
        ]

    def _tied(self, by: str) -> list[str]:
        """For each clip the name of its cluster: clips joined by a group, a file or a speaker."""
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while parent.setdefault(name, name) != name:
                parent[name] = parent[parent[name]]
                name = parent[name]
            return name

        def ties(clip: Clip) -> list[str]:
            names = [f"file {clip.path}"] if not clip.group else [f"group {clip.group}"]
            names += [f"file {clip.path}"]
            return names + ([f"speaker {clip.speaker}"] if by == "speaker" and clip.speaker else [])

        for clip in self._clips:
            for name in ties(clip):
                parent[root(name)] = root(ties(clip)[0])
        names: dict[str, str] = {}
        for clip in self._clips:  # called by its smallest name, never by a path
            place, name = root(ties(clip)[0]), clip.group or clip.id
            names[place] = min(names.get(place, name), name)
        return [names[root(ties(clip)[0])] for clip in self._clips]

    # --- lhotse and files

    def to_cuts(self) -> CutSet:
        """The same clips as a lhotse CutSet (labels and the rest as custom fields)."""
        if self._cuts is None:
            CutSet = _lhotse().CutSet
            self._cuts = CutSet.from_cuts([_cut_of(clip) for clip in self._clips])
        return self._cuts

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write lhotse's cut JSONL; files below the JSONL's folder are named relative to it."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with open(handle, "w", encoding="utf-8") as out:
                for clip in self._clips:
                    cut = _cut_of(dataclasses.replace(clip, path=_near(clip.path, target.parent)))
                    out.write(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n")
            os.chmod(name, 0o644)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise


def _near(path: Path, folder: Path) -> Path:
    full, base = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return full.relative_to(base) if full.is_relative_to(base) else full


def _unit(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def _deal(clips: Clips, keys: list[str], task: str, count: int, seed: int) -> list[int]:
    content: dict[str, Counter[str]] = {}
    for clip, key in zip(clips, keys):
        content.setdefault(key, Counter())[clip.labels[task]] += 1
    load: list[Counter[str]] = [Counter() for _ in range(count)]
    fold_of: dict[str, int] = {}
    for key in sorted(content, key=lambda key: (-content[key].total(), _unit(f"{seed}:{key}"))):
        mine = content[key]
        fold = min(
            range(count),
            key=lambda k: (sum(load[k][name] * n for name, n in mine.items()), load[k].total(), k),
        )
        load[fold] += mine
        fold_of[key] = fold
    return [fold_of[key] for key in keys]


def _lhotse() -> Any:
    try:
        import lhotse
    except ImportError:
        raise missing_extra("lhotse", "train") from None
    return lhotse


KEPT = ("labels", "group", "split", "licence", "source", "synthetic")  # custom fields of a cut


def _cut_of(clip: Clip) -> Any:
    lhotse = _lhotse()
    frames = clip.file_frames or round((clip.start_s + clip.duration_s) * clip.rate_hz)
    channels = list(range(clip.channels))
    recording = lhotse.Recording(
        id=clip.id,
        sources=[lhotse.AudioSource(type="file", channels=channels, source=str(clip.path))],
        sampling_rate=clip.rate_hz,
        num_samples=frames,
        duration=frames / clip.rate_hz,
    )
    channel: Any = 0 if clip.channels == 1 else channels
    supervision = lhotse.SupervisionSegment(
        id=clip.id,
        recording_id=clip.id,
        start=0.0,
        duration=clip.duration_s,
        channel=channel,
        text=clip.text,
        language=clip.language,
        speaker=clip.speaker,
    )
    kind = lhotse.MonoCut if clip.channels == 1 else lhotse.MultiCut
    custom = {name: getattr(clip, name) for name in KEPT if getattr(clip, name)}
    return kind(
        id=clip.id,
        start=clip.start_s,
        duration=clip.duration_s,
        channel=channel,
        supervisions=[supervision],
        recording=recording,
        custom=custom or None,
    )


def _clip_of(cut: Any) -> Clip:
    recording = cut.recording
    if recording is None or len(recording.sources) != 1:
        raise InputError(f"cut {cut.id!r} has no single sound file: save its audio first")
    source = recording.sources[0]
    first = cut.supervisions[0] if cut.supervisions else None
    custom = dict(cut.custom or {})
    labels = {str(key): str(value) for key, value in custom.get("labels", {}).items()}
    return Clip(
        id=cut.id,
        path=Path(source.source if source.type == "file" else f"<{source.type}>"),
        start_s=cut.start,
        duration_s=cut.duration,
        rate_hz=recording.sampling_rate,
        channels=recording.num_channels,
        file_frames=recording.num_samples,
        labels=labels,
        text=first.text if first else None,
        language=first.language if first else None,
        speaker=first.speaker if first else None,
        group=custom.get("group") or (first.speaker if first and first.speaker else ""),
        split=custom.get("split"),
        licence=custom.get("licence", ""),
        source=custom.get("source", ""),
        synthetic=bool(custom.get("synthetic", False)),
    )
