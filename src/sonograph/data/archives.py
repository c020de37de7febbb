"""Unpacking of archives that nobody has vouched for: Debian packages, wheels, zips, npm tarballs.

Rules: only plain files are written, only those whose path matches a wanted pattern, only below the
given folder, never over an existing file. An absolute path or `..` anywhere in the archive refuses
all of it; a wanted link or device too. Limits hold for the bytes really written, whatever the
headers claim. `staged` makes the result appear in one rename, or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import gzip
import importlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sonograph.errors import InputError

BLOCK = 1 << 20
LARGEST_READ = 16 << 20  # no honest tar header needs more at once
XZ_MEMORY = 256 << 20  # xz -9 needs 65 MiB


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much one archive may hold: files, bytes of one file, bytes in all."""

    files: int = 100_000
    file_bytes: int = 2 << 30
    total_bytes: int = 8 << 30


@dataclasses.dataclass(frozen=True)
class Member:
    """One entry: its cleaned path, what it is, the size it claims, and a handle for the reader."""

    path: str
    kind: str  # "file", "folder", "link" or "device"
    size: int
    handle: Any


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder` that takes its name when the block ends well.

    After an error, or a killed process, `folder` does not exist; what a dead process left behind is
    cleared away by the next call for the same folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.glob(f".{folder.name}.partial-*"):
        if not _alive(old.name.rsplit("-", 2)[1]):
            shutil.rmtree(old, ignore_errors=True)
    place = Path(
        tempfile.mkdtemp(prefix=f".{folder.name}.partial-{os.getpid()}-", dir=folder.parent)
    )
    place.chmod(0o755)
    try:
        yield place
        os.rename(place, folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def unpack(
    archive: Path, folder: Path, wanted: Sequence[str] = ("*",), limits: Limits = Limits()
) -> list[str]:
    """Write the wanted files of an archive below an existing folder; returns their paths.

    `wanted` are shell patterns on the path inside the archive (`*` crosses slashes). The kind of
    archive is told by the file's first bytes. Raises InputError for hostile or broken archives;
    the folder may then hold some files, so callers unpack into a `staged` folder.
    """
    with open(archive, "rb") as file:
        head = file.read(8)
    try:
        if head.startswith(b"!<arch>\n"):
            written = _unpack_deb(archive, folder, wanted, limits)
        elif head.startswith(b"PK"):
            written = _unpack_zip(archive, folder, wanted, limits)
        elif head.startswith(b"\x1f\x8b"):
            with open(archive, "rb") as file:
                written = _unpack_tar(file, ".gz", archive, folder, wanted, limits)
        else:
            raise _bad(archive, "is no Debian package, zip or tgz")
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise _bad(archive, f"is broken ({error or type(error).__name__})") from None
    except gzip.BadGzipFile as error:
        raise _bad(archive, f"is broken ({error})") from None
    except (NotImplementedError, RuntimeError) as error:  # zipfile: unknown method, password
        raise _bad(archive, f"cannot be read ({error})") from None
    return written


def safe_path(name: str) -> str:
    """A member's path without `./`; raises ValueError when it could leave the folder.

    >>> safe_path("./usr/share/a.ogg")
    'usr/share/a.ogg'
    """
    if not name or "\\" in name or any(ord(letter) < 32 for letter in name):
        raise ValueError("has a path with forbidden characters")
    if name.startswith("/") or name[1:2] == ":":
        raise ValueError("has an absolute path")
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise ValueError("has a path with '..'")
    return "/".join(parts)


def _unpack_deb(archive: Path, folder: Path, wanted: Sequence[str], limits: Limits) -> list[str]:
    """A .deb is an `ar` archive whose member data.tar.* holds the files (deb(5))."""
    size = archive.stat().st_size
    with open(archive, "rb") as file:
        file.seek(8)
        while header := file.read(60):
            if len(header) < 60 or header[58:] != b"`\n" or not header[48:58].strip().isdigit():
                raise _bad(archive, "has a broken ar header")
            name, length = header[:16].decode("latin-1").strip().rstrip("/"), int(header[48:58])
            if file.tell() + length > size:
                raise _bad(archive, f"is truncated: {name} should have {length} bytes")
            if name.startswith("data.tar"):
                part = _Window(file, file.tell(), length)
                return _unpack_tar(part, name[len("data.tar") :], archive, folder, wanted, limits)
            file.seek(length + length % 2, os.SEEK_CUR)
    raise _bad(archive, "has no data.tar")


def _unpack_tar(
    source: Any, suffix: str, archive: Path, folder: Path, wanted: Sequence[str], limits: Limits
) -> list[str]:
    """Decompress to a nameless file first (counted), then read the tar with bounded reads."""
    with tempfile.TemporaryFile(dir=folder) as plain:
        total = 0
        for block in _decompressed(source, suffix, archive):
            total += len(block)
            if total > limits.total_bytes:
                raise _bad(archive, f"unpacks to more than {limits.total_bytes} bytes")
            plain.write(block)
        plain.seek(0)
        with tarfile.open(fileobj=_Bounded(plain, archive), mode="r:") as tar:  # type: ignore[call-overload]
            members = (
                Member(_safe(archive, info.name), _tar_kind(info), info.size, info) for info in tar
            )
            return _write(
                archive, members, lambda one: tar.extractfile(one.handle), folder, wanted, limits
            )


def _unpack_zip(archive: Path, folder: Path, wanted: Sequence[str], limits: Limits) -> list[str]:
    with zipfile.ZipFile(archive) as whole:
        members = (
            Member(_safe(archive, info.filename), _zip_kind(info), info.file_size, info)
            for info in whole.infolist()
        )
        return _write(archive, members, lambda one: whole.open(one.handle), folder, wanted, limits)


def _write(
    archive: Path,
    members: Iterable[Member],
    opener: Any,
    folder: Path,
    wanted: Sequence[str],
    limits: Limits,
) -> list[str]:
    written: list[str] = []
    total = 0
    for count, member in enumerate(members, 1):
        if count > limits.files:
            raise _bad(archive, f"holds more than {limits.files} entries")
        if member.kind == "folder" or not any(
            fnmatch.fnmatchcase(member.path, pattern) for pattern in wanted
        ):
            continue
        if member.kind != "file":
            raise _bad(archive, f"holds a {member.kind}, {member.path}, where a file is expected")
        target = folder / member.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with opener(member) as source, open(target, "xb") as out:
                room = min(limits.file_bytes, limits.total_bytes - total)
                size = _copy(source, out, room, archive, member.path)
        except FileExistsError:
            raise _bad(archive, f"holds {member.path} twice, or as file and folder") from None
        except NotADirectoryError:
            raise _bad(archive, f"holds {member.path} twice, or as file and folder") from None
        if size != member.size:
            raise _bad(archive, f"lies about {member.path}: {size} bytes, not {member.size}")
        total += size
        written.append(member.path)
    return written


def _copy(source: IO[bytes], out: IO[bytes], room: int, archive: Path, path: str) -> int:
    size = 0
    while block := source.read(BLOCK):
        size += len(block)
        if size > room:
            raise _bad(archive, f"unpacks to too many bytes at {path}")
        out.write(block)
    return size


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.issym() or info.islnk():
        return "link"
    return "file" if info.isreg() and not info.issparse() else "device"


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if info.is_dir():
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "device"


def _decompressed(source: Any, suffix: str, archive: Path) -> Iterator[bytes]:
    if suffix == "":
        while block := source.read(BLOCK):
            yield block
    elif suffix == ".gz":
        with gzip.GzipFile(fileobj=source, mode="rb") as plain:
            while block := plain.read(BLOCK):
                yield block
    elif suffix == ".xz":
        yield from _xz(source)
    elif suffix == ".zst":
        with _zstd(source, archive) as plain:
            while block := plain.read(BLOCK):
                yield block
    else:
        raise _bad(archive, f"is compressed in a way that is not known here (data.tar{suffix})")


def _xz(source: Any) -> Iterator[bytes]:
    """xz with a bound on the memory that a crafted header can ask for."""
    reader, data = lzma.LZMADecompressor(memlimit=XZ_MEMORY), b""
    while True:
        if reader.eof:
            data = reader.unused_data.lstrip(b"\0") or source.read(BLOCK).lstrip(b"\0")
            if not data:
                return
            reader = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
        elif reader.needs_input:
            data = source.read(BLOCK)
            if not data:
                raise EOFError("xz stream ends early")
        else:
            data = b""
        yield reader.decompress(data, BLOCK)


def _zstd(source: Any, archive: Path) -> Any:
    """Python 3.14 reads zstd by itself; older ones need the library `zstandard`."""
    for module, reader in (("compression.zstd", "ZstdFile"), ("zstandard", "open")):
        with contextlib.suppress(ImportError):
            return getattr(importlib.import_module(module), reader)(source, mode="rb")
    raise InputError(f"{archive.name} is packed with zstd: run `pip install zstandard` to read it")


class _Window:
    """A part of an open file, read from its start to its end."""

    def __init__(self, file: IO[bytes], start: int, length: int):
        self.file, self.left = file, length
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        size = self.left if size < 0 else min(size, self.left)
        self.left -= size
        return self.file.read(size)


class _Bounded:
    """A file that refuses single huge reads: a tar header may claim a name of a terabyte."""

    def __init__(self, file: IO[bytes], archive: Path):
        self.file, self.archive = file, archive
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise _bad(self.archive, "has a tar header that claims a huge size")
        return self.file.read(size)


def _safe(archive: Path, name: str) -> str:
    try:
        return safe_path(name)
    except ValueError as error:
        raise _bad(archive, f"{error} ({name[:80]!r})") from None


def _bad(archive: Path, what: str) -> InputError:
    return InputError(f"{archive.name} {what}: it is not unpacked; fetch it again")


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
