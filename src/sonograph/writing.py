"""Files that are there whole or not at all, and one line for the user where a disk says no.

A file is written under a temporary name beside its place, flushed to the disk and renamed, so that
a process killed at any moment leaves the old one or the new one, never a half.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from sonograph.errors import InputError

PARTIAL = ".partial-"  # how temporary names begin


@contextlib.contextmanager
def explained(where: Path) -> Iterator[None]:
    """Turn a full disk or a place that cannot be written to into one line for the user."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            words = f"no space left on the disk of {where}: free some and run again"
        elif error.errno == errno.EDQUOT:
            words = f"the disk quota at {where} is used up: free some space"
        else:
            reason = error.strerror or error
            words = f"cannot write to {where} ({reason}): choose a folder that you can write to"
        raise InputError(words) from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to; what lies there becomes `path` if the block ends well."""
    # Not by the process's number: those of two machines on one file system may be equal.
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(4)}-{path.name}")
    try:
        yield partial
        flush(partial)
        os.replace(partial, path)
        flush(path.parent)
    finally:
        with contextlib.suppress(OSError):  # its folder may be what is missing
            partial.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file in one step, its folder too if need be. InputError where that cannot be."""
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(content)
    return path


def flush(path: Path) -> None:
    """Ask the disk to hold a file or a folder's list of names."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
