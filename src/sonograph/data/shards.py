"""Sets too large for one disk or one machine: lhotse Shar shards on any path fsspec knows.

A shard is a tar of encoded clips beside a JSONL of their cuts. Written under temporary names and
listed in `shards.json` last, so that a half-written set does not open. `read_shards` streams them;
`ShardBatches` makes batches with torchdata's StatefulDataLoader and resumes at the very clip, with
the same number of workers: from a state, or from the number of a batch as the trainer asks for it.
Of several processes each reads shards of its own, and no others.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonograph.data.clips import Clips, _lhotse
from sonograph.errors import InputError, missing_extra
from sonograph.progress import Progress, silent

INDEX = "shards.json"


def write_shards(
    clips: Clips,
    folder: str,
    shard_size: int = 1000,
    seed: int | None = 0,
    audio_format: str = "flac",
    progress: Progress = silent,
) -> int:
    """Write clips as shards of `shard_size`; returns the number of shards.

    `folder` is a local path or an fsspec URL. Clips are shuffled by `seed` (None keeps the order),
    since readers only shuffle nearby. Raises InputError when the folder already holds shards.
    """
    from lhotse.shar import SharWriter

    if len(clips) == 0:
        raise InputError("there are no clips to write as shards")
    system, root = _system(folder)
    if system.exists(posixpath.join(root, INDEX)):
        raise InputError(f"{folder} already holds shards: give another folder")
    cuts = list(clips.to_cuts())
    order = range(len(cuts)) if seed is None else np.random.default_rng(seed).permutation(len(cuts))
    shards = []
    with tempfile.TemporaryDirectory(prefix="sonograph-shards-") as place:
        with SharWriter(place, {"recording": audio_format}, shard_size=shard_size) as writer:
            for done, number in enumerate(order):
                try:
                    writer.write(cuts[int(number)])
                except Exception as error:  # lhotse passes on what any of its readers raises
                    path = clips[int(number)].path
                    raise InputError(
                        f"{path} cannot be read as sound ({type(error).__name__}): nothing written"
                    ) from None
                progress(done + 1, len(cuts), "writing shards")
        system.makedirs(root, exist_ok=True)
        for cut_file in sorted(Path(place).glob("cuts.*.jsonl.gz")):
            tar_file = cut_file.with_name(
                cut_file.name.replace("cuts.", "recording.").replace(".jsonl.gz", ".tar")
            )
            for file in (cut_file, tar_file):
                _put(system, file, posixpath.join(root, file.name))
            shards.append({"cuts": _about(cut_file), "recording": _about(tar_file)})
        sizes = [min(shard_size, len(cuts) - first) for first in range(0, len(cuts), shard_size)]
        index = {"format": 1, "clips": len(cuts), "sizes": sizes, "shards": shards}
        system.pipe_file(posixpath.join(root, INDEX), (json.dumps(index, indent=2) + "\n").encode())
    return len(shards)


def _about(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    return {
        "file": file.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _put(system: Any, file: Path, target: str) -> None:
    with open(file, "rb") as source, system.open(target + ".partial", "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    system.mv(target + ".partial", target)


def _system(folder: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise missing_extra("fsspec", "train") from None
    try:
        system, root = fsspec.core.url_to_fs(folder)
    except (ValueError, ImportError) as error:
        raise InputError(f"{folder} cannot be opened: {error}") from None
    return system, root.rstrip("/")


class Shards(torch.utils.data.IterableDataset):
    """An endless stream of (waveform, id, labels) from shards, shared among processes and workers.

    Shards are shuffled anew every epoch by (seed, epoch); a worker takes every n-th. One shard is
    held in memory at a time; its clips are shuffled too. The state is four numbers: which of the
    workers this is, epoch, place in the epoch's list of shards, place in the shard.

    after: so many batches of `batch_size` clips were taken from all workers in turn, before.
    share: (number, count), which of so many processes reads.
    """

    def __init__(
        self,
        folder: str,
        rate_hz: int,
        crop_s: float | None,
        seed: int = 0,
        after: int = 0,
        batch_size: int = 1,
        share: tuple[int, int] = (0, 1),
    ):
        self.folder, self.rate_hz, self.crop_s, self.seed = folder, rate_hz, crop_s, seed
        self.after, self.batch_size, self.share = after, batch_size, share
        system, root = _system(folder)
        try:
            index = json.loads(system.cat_file(posixpath.join(root, INDEX)))
            self.shards: list[dict[str, Any]] = index["shards"]
            self.clips = int(index["clips"])
            self.sizes: list[int] = index.get("sizes", [])
        except FileNotFoundError:
            raise InputError(f"{folder} holds no shards ({INDEX} is missing)") from None
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"{folder}/{INDEX} is broken ({error}): write it again") from None
        if after and len(self.sizes) != len(self.shards):
            raise InputError(f"{folder}/{INDEX} is of an older version: write the shards again")
        self.place: dict[str, int] = {}

    def state_dict(self) -> dict[str, int]:
        """Where this worker's stream stands."""
        return dict(self.place)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a state that `state_dict` gave."""
        self.place = dict(state)

    def __len__(self) -> int:
        raise TypeError("an endless stream has no length")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = torch.utils.data.get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        processes = self.share[1]
        if count * processes > len(self.shards):
            each = f" in each of {processes} processes" if processes > 1 else ""
            raise InputError(
                f"{self.folder} has {len(self.shards)} shards, too few for {count} workers{each}: "
                "use fewer workers or smaller shards"
            )
        self.place = self.place or self._begin(number, count)
        while True:
            epoch = self.place["epoch"]
            mine = self._mine(epoch, self.place["worker"], count)
            while self.place["shard"] < len(mine):
                shard = int(mine[self.place["shard"]])
                clips = self.read(shard)
                within = np.random.default_rng([self.seed, epoch, shard]).permutation(len(clips))
                while self.place["clip"] < len(clips):
                    row = int(within[self.place["clip"]])
                    self.place["clip"] += 1
                    yield self._crop(clips[row], epoch, shard, row)
                self.place |= {"shard": self.place["shard"] + 1, "clip": 0}
            self.place |= {"epoch": epoch + 1, "shard": 0, "clip": 0}

    def _mine(self, epoch: int, worker: int, count: int) -> np.ndarray:
        """The shards of one of this process's workers, in the epoch's order."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.shards))
        number, processes = self.share
        return order[number + processes * worker :: processes * count]

    def _begin(self, number: int, count: int) -> dict[str, int]:
        """Where a worker begins. The first one is asked first: it goes on as whoever is next."""
        worker = (number + self.after) % count
        left = self.batch_size * ((self.after + count - 1 - worker) // count)
        epoch = 0
        while True:
            mine = self._mine(epoch, worker, count)
            ends = np.cumsum([0] + [self.sizes[shard] for shard in mine]) if left else [0, 1]
            if left < ends[-1]:
                shard = int(np.searchsorted(ends, left, side="right")) - 1
                clip = left - int(ends[shard])
                return {"worker": worker, "epoch": epoch, "shard": shard, "clip": clip}
            epoch, left = epoch + 1, left - int(ends[-1])

    def read(self, shard: int) -> list[Any]:
        """The cuts of one shard with their audio in memory, after its hash was checked."""
        about = self.shards[shard]
        cut_set = _lhotse().CutSet
        with tempfile.TemporaryDirectory(prefix="sonograph-shard-") as place:
            for part in about.values():
                (Path(place) / part["file"]).write_bytes(self._checked(part))
            try:
                fields = {name: [str(Path(place) / part["file"])] for name, part in about.items()}
                return list(cut_set.from_shar(fields=fields))
            except Exception as error:  # whatever a parser makes of bytes it did not expect
                raise InputError(
                    f"shard {about['cuts']['file']} in {self.folder} cannot be read ({error})"
                ) from None

    def _checked(self, part: dict[str, Any]) -> bytes:
        system, root = _system(self.folder)
        try:
            content = system.cat_file(posixpath.join(root, part["file"]))
        except FileNotFoundError:
            raise InputError(f"shard {part['file']} is missing from {self.folder}") from None
        if hashlib.sha256(content).hexdigest() != part["sha256"]:
            raise InputError(
                f"shard {part['file']} in {self.folder} is corrupt ({len(content)} bytes, hash "
                "differs from shards.json): copy or write it again"
            )
        return content

    def _crop(self, cut: Any, epoch: int, shard: int, row: int) -> dict[str, Any]:
        samples = cut.resample(self.rate_hz).load_audio().mean(axis=0)
        if self.crop_s is not None:
            room = len(samples) - round(self.crop_s * self.rate_hz)
            if room > 0:
                start = int(
                    np.random.default_rng([self.seed, epoch, shard, row]).integers(room + 1)
                )
                samples = samples[start : len(samples) - room + start]
        return {
            "waveform": np.ascontiguousarray(samples, dtype=np.float32),
            "id": cut.id,
            "labels": dict((cut.custom or {}).get("labels", {})),
        }


def read_shards(folder: str) -> Clips:
    """All clips of a set of shards with what is known of them; audio is not decoded.

    Their `path` is only a mark (`<memory>`): to hear them use `Shards` or `ShardBatches`.
    """
    shards = Shards(folder, rate_hz=1, crop_s=None)
    cuts = [cut for shard in range(len(shards.shards)) for cut in shards.read(shard)]
    return Clips.from_cuts(_lhotse().CutSet.from_cuts(cuts))


class ShardBatches:
    """Endless batches from shards, in the form of `Batches`, with `state_dict` for exact resume."""

    def __init__(
        self,
        folder: str,
        batch_size: int,
        crop_s: float | None,
        rate_hz: int,
        seed: int = 0,
        workers: int = 0,
        after: int = 0,
        share: tuple[int, int] = (0, 1),
    ):
        number, count = share
        mine = batch_size * (number + 1) // count - batch_size * number // count
        if mine < 1:
            raise InputError(
                f"a batch of {batch_size} clips for {count} processes: use a larger batch size"
            )
        try:
            from torchdata.stateful_dataloader import StatefulDataLoader
        except ImportError:
            raise missing_extra("torchdata", "train") from None
        self.samples = None if crop_s is None else round(crop_s * rate_hz)
        self.given = (folder, batch_size, crop_s, rate_hz, seed, workers)
        self.share = share
        self.loader = StatefulDataLoader(
            Shards(folder, rate_hz, crop_s, seed, after, mine, share),
            batch_size=mine,
            num_workers=workers,
            collate_fn=self._stack,
        )

    def start_at(self, k: int) -> ShardBatches:
        """The same batches from number k on (same number of workers)."""
        if k < 0:
            raise InputError(f"there is no batch {k}")
        return ShardBatches(*self.given, after=k, share=self.share)

    def part(self, number: int, count: int) -> ShardBatches:
        """What process `number` of `count` reads: shards of its own, its part of every batch.

        All together read every clip once an epoch; each begins its next epoch when its shards are
        through. To go on exactly, the number of processes has to stay as it was.
        """
        return ShardBatches(*self.given, share=(number, count))

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands after the last batch that was taken."""
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batch at which the state was taken (same number of workers)."""
        self.loader.load_state_dict(state)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        iterator = iter(self.loader)
        try:
            yield from iterator
        except InputError as error:  # a worker's comes with its traceback; the last line is ours
            last = str(error).strip().splitlines()[-1]
            raise InputError(last.removeprefix("sonograph.errors.InputError: ")) from None
        finally:  # left to the garbage collector, every worker would cost five seconds
            getattr(iterator, "_shutdown_workers", lambda: None)()

    def _stack(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        lengths = [len(row["waveform"]) for row in rows]
        waveform = torch.zeros(len(rows), self.samples or max(lengths))
        for target, row in zip(waveform, rows):
            target[: len(row["waveform"])] = torch.from_numpy(row["waveform"])
        return {
            "waveform": waveform,
            "lengths": torch.tensor(lengths),
            "ids": [row["id"] for row in rows],
            "labels": [row["labels"] for row in rows],
        }
