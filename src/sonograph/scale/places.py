"""Folders and sounds on any path that fsspec knows: this disk, memory://, s3:// and others.

What is written appears whole or not at all: on a disk under a temporary name that is renamed, on
an object store by a single put, which such stores show only when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sonograph.errors import InputError
from sonograph.writing import PARTIAL, explained, write_whole

OF_ONE_PROCESS = ("memory",)  # file systems that no other process sees
OBJECT_STORES = ("memory", "s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "oss", "oci")
TRIES, PAUSE_S = 3, 0.5  # of a fetch that a network breaks off
BLOCK = 1 << 20


def is_url(path: str) -> bool:
    return "://" in path


def open_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path within it. Raises InputError."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise InputError(f"{url} cannot be opened: {error}") from None
    return system, path


@dataclass(frozen=True)
class Place:
    """A folder that is written to; `url` is a local path or an fsspec URL."""

    url: str

    @cached_property
    def _found(self) -> tuple[Any, str]:
        system, path = open_system(self.url)
        return system, path.rstrip("/")

    @property
    def protocol(self) -> str:
        kind = self._found[0].protocol
        return kind if isinstance(kind, str) else kind[0]

    @property
    def local(self) -> Path | None:
        """The folder, where it is one of this machine's disks."""
        return Path(self._found[1]) if self.protocol in ("file", "local") else None

    def at(self, name: str) -> str:
        """The path or URL of a file within, for people."""
        return posixpath.join(self.url, name)

    def sizes(self, folder: str) -> dict[str, int]:
        """Names and bytes of the files in a folder within; none where it does not exist."""
        system, root = self._found
        system.invalidate_cache()
        try:
            listed = system.ls(posixpath.join(root, folder), detail=True)
        except FileNotFoundError:
            return {}
        return {posixpath.basename(one["name"]): one["size"] or 0 for one in listed}

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        system, root = self._found
        try:
            return system.cat_file(posixpath.join(root, name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        if self.local is not None:
            write_whole(self.local / name, content)
            return
        with self.room() as folder:
            file = folder / "content"
            file.write_bytes(content)
            self.put(file, name)

    def put(self, file: Path, name: str) -> None:
        """Move a file of `room` here, whole."""
        system, root = self._found
        target = posixpath.join(root, name)
        with explained(Path(self.at(name))):
            if self.local is not None:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
                return
            system.makedirs(posixpath.dirname(target), exist_ok=True)
            if self.protocol in OBJECT_STORES:
                system.put_file(str(file), target)
            else:
                partial = posixpath.join(posixpath.dirname(target), PARTIAL + Path(target).name)
                system.put_file(str(file), partial)
                system.mv(partial, target)
            file.unlink()

    @contextlib.contextmanager
    def room(self) -> Iterator[Path]:
        """A folder for what is not finished: on the same disk where that is local, so that `put`
        renames.
        """
        home = self.local
        with explained(home or Path(tempfile.gettempdir())):
            if home is not None:
                home.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=home))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def tidy(self) -> None:
        """Remove the rooms that a killed run left behind."""
        if self.local is not None and self.local.is_dir():
            for left in self.local.glob(f"{PARTIAL}*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)


@contextlib.contextmanager
def fetched(url: str, largest: int) -> Iterator[Path]:
    """A sound as a file of this machine: itself, or a copy that is removed afterwards.

    largest: bytes at which fetching stops. Raises InputError for what is not there, too large, or
    cannot be fetched in three tries.
    """
    system, path = open_system(url)
    kind = system.protocol if isinstance(system.protocol, str) else system.protocol[0]
    if kind in ("file", "local"):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="sonograph-sound-") as folder:
        copy = Path(folder) / f"sound{Path(path).suffix[:16]}"
        for left in reversed(range(TRIES)):
            try:
                _copy(system, path, copy, largest, url)
                break
            except FileNotFoundError:
                raise InputError(f"{url} does not exist") from None
            except InputError:
                raise
            except Exception as error:  # every client has its own
                if not left:
                    raise InputError(
                        f"{url} cannot be fetched ({type(error).__name__}: {error})"
                    ) from None
                time.sleep(PAUSE_S)
        yield copy


def _copy(system: Any, path: str, copy: Path, largest: int, url: str) -> None:
    held = 0
    with system.open(path, "rb") as source, open(copy, "wb") as target:
        while block := source.read(BLOCK):
            held += len(block)
            if held > largest:
                raise InputError(
                    f"{url} is larger than {largest / 1e6:.0f} MB: raise --largest-mb to fetch it"
                )
            target.write(block)
