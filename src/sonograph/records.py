"""Records: what was claimed, by which rule it was judged, and what was measured.

A record is written by the command that measured, and committed. Tables and pages are made from
records; nobody writes a figure by hand.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from sonograph.config import Config
from sonograph.errors import InputError
from sonograph.writing import write_whole

FORMAT = 1
Kind = Literal["exact", "trains", "claim", "usable", "benchmark"]
Verdict = Literal["shown", "not shown", "inconclusive"]
LIBRARIES = ("torch", "numpy", "soundfile", "transformers", "librosa", "kaldi-native-fbank",
             "panns-inference")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Figure(Config):
    """One number with its 95 % interval, where it has one.

    >>> print(Figure("accuracy", 0.81, 0.78, 0.84))
    accuracy: 0.81 (0.78 to 0.84)
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    goal: str = ""  # in words, like "at least 3"

    def __str__(self) -> str:
        return f"{self.name}: {self.amount()}"

    def amount(self) -> str:
        """The number with its unit and interval, as a person reads it."""
        text = number(self.value) + (f" {self.unit}" if self.unit else "")
        if self.low is None or self.high is None:
            return text
        return f"{text} ({number(self.low)} to {number(self.high)})"


@dataclasses.dataclass(frozen=True)
class Record(Config):
    """One measurement and what it says; `stamped` makes one with the lower half filled in."""

    system: str  # or "sonograph", for what concerns no single one
    kind: Kind
    sentence: str  # what is claimed
    rule: str  # how it is decided, written before the run
    verdict: Verdict
    measured: tuple[Figure, ...]
    paper: tuple[Figure, ...] = ()  # the published figures of the same claim
    arms: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    sources: dict[str, str] = dataclasses.field(default_factory=dict)  # file: SHA-256 when measured
    details: dict[str, Any] = dataclasses.field(default_factory=dict)  # what one kind alone has
    machine: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    commit: str = ""
    date: str = ""  # YYYY-MM-DD
    seconds: float = 0.0
    format: int = FORMAT


def stamped(record: Record, seconds: float) -> Record:
    """The record with machine, versions, commit and date of this very moment."""
    import datetime

    return dataclasses.replace(
        record,
        machine=machine(),
        versions=versions(),
        commit=commit(),
        date=datetime.date.today().isoformat(),
        seconds=round(seconds, 1),
    )


def write(record: Record, name: str = "", folder: Path | None = None) -> Path:
    """Write `<folder>/<system>/<name>.json`, whole or not at all; `name` is the kind if not given.

    Records of benchmarks go to `<folder>/benchmarks/`. Raises InputError for a record that `read`
    would refuse, and outside of a checkout.
    """
    place = "benchmarks" if record.kind == "benchmark" else record.system
    path = (folder or checkout_folder()) / place / f"{name or record.kind}.json"
    check(record, str(path))
    return write_whole(path, record.to_json().encode())


def read(path: Path) -> Record:
    """One record. Raises InputError that names the file and what is wrong in it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, Mapping):
        raise InputError(f"{path} is no record: it holds a {type(values).__name__}")
    if values.get("format") != FORMAT:
        raise InputError(f"{path} is of format {values.get('format')!r}, this reads {FORMAT}")
    try:
        record = Record.from_dict(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    check(record, str(path))
    return record


def check(record: Record, where: str) -> None:
    """Raise InputError for a record that says less than a record must."""
    import math
    import re

    if not re.fullmatch(r"[a-z0-9_]+", record.system):
        raise InputError(f"{where}: {record.system!r} is no name of a system")
    for field in ("sentence", "rule", "machine", "commit"):
        if not getattr(record, field).strip():
            raise InputError(f"{where}: {field!r} is empty: a record says it")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", record.date):
        raise InputError(f"{where}: the date is {record.date!r}: give YYYY-MM-DD")
    if not record.measured:
        raise InputError(f"{where}: nothing was measured")
    for figure in (*record.paper, *record.measured):
        ends = [value for value in (figure.low, figure.high) if value is not None]
        if not all(map(math.isfinite, (figure.value, *ends))):
            raise InputError(f"{where}: {figure.name!r} is not finite")
        if len(ends) == 2 and not ends[0] <= figure.value <= ends[1]:
            raise InputError(f"{where}: {figure.name!r} lies outside its own interval")
    if record.kind == "claim" and len(set(record.seeds)) < 3:
        raise InputError(f"{where}: a claim needs at least three seeds, not {len(record.seeds)}")


def read_all(folder: Path | None = None) -> list[Record]:
    """All records, in order of path; none where there is no folder."""
    folder = folder or beside("records")
    return [read(path) for path in sorted(folder.glob("*/*.json"))] if folder else []


def of(records: list[Record], system: str, kind: Kind) -> list[Record]:
    """Those of one system and kind."""
    return [record for record in records if (record.system, record.kind) == (system, kind)]


# --- where things lie ----------------------------------------------------------------------------


def checkout() -> Path | None:
    """The root of the checkout that this package is imported from, if it is one."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "src").is_dir() else None


def beside(name: str) -> Path | None:
    """A folder of the checkout, or its copy inside an installed package."""
    root = checkout()
    folder = (root or Path(__file__).resolve().parent) / name
    return folder if folder.is_dir() else None


def checkout_folder() -> Path:
    """`records/` of the checkout, to write to."""
    root = checkout()
    if root is None:
        raise InputError("records are written in a checkout of sonograph, and this is none")
    return root / "records"


# --- here and now --------------------------------------------------------------------------------


def machine() -> str:
    """Processor, cores and accelerator in words."""
    import os
    import platform

    model = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.is_file() else ():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    import torch

    gpu = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"{model}, {os.cpu_count()} cores{gpu}"


def versions() -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from sonograph import __version__

    found = {"sonograph": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the checkout; "+" behind it where something was changed since."""
    import subprocess

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout()), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return ""

    if checkout() is None or not (head := git("rev-parse", "--short=12", "HEAD").strip()):
        return "unknown"
    return head + ("+" if git("status", "--porcelain", "--", "src").strip() else "")


def number(value: float) -> str:
    """A number with as many digits as it deserves.

    >>> number(12345.6), number(3.14159), number(0.5), number(2.0), number(1.5e-7)
    ('12,346', '3.14', '0.5', '2', '1.5e-07')
    """
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
