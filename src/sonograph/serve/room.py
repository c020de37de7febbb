"""The folder of a running service: its own, of bounded size, and gone when the service is.

What a service that was killed has left behind is removed by the next one: a folder whose lock
nobody holds is nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from pathlib import Path

from sonograph.serve.answers import Refused
from sonograph.writing import explained

PREFIX = "sonograph-serve-"
LOCK = "in-use"


class Room:
    """A folder with a quota.

    take and give count bytes against it; what is taken is given back when the file goes.
    """

    def __init__(self, parent: Path, quota_bytes: int):
        self.quota_bytes = quota_bytes
        self.held_bytes = 0
        self._counting = threading.Lock()
        with explained(parent):
            parent.mkdir(parents=True, exist_ok=True)
            _remove_left(parent)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
            self._lock = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in ("arriving", "sounds", "jobs"):
                (self.folder / name).mkdir()

    def take(self, count: int) -> None:
        """Count bytes in. Raises Refused (507) where the folder would be too full."""
        with self._counting:
            if self.held_bytes + count > self.quota_bytes:
                raise Refused(507, "the service's disk is full: delete sounds or results first")
            self.held_bytes += count

    def give(self, count: int) -> None:
        with self._counting:
            self.held_bytes = max(0, self.held_bytes - count)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # it may go while it is counted
            if not path.is_symlink() and path.is_file():
                total += path.stat().st_size
    return total


def _remove_left(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # not one of ours
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # in use
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
