"""What a collection keeps, and why the rest goes: `sonograph curate` after everything is measured.

Reasons are tried in this order, and the first that fits is told: unreadable, too short, silent,
offset, clipped, duplicate, near duplicate, outlier, balance. The same measures give the same
choice, whatever the number of processes that took them.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from sonograph.errors import InputError
from sonograph.scale.alike import loneliness, near_duplicates, unit_rows
from sonograph.scale.manifest import Item
from sonograph.scale.measure import prints_apart

LOSSY = (".mp3", ".ogg", ".oga", ".opus", ".g722")
NEIGHBOURS = 5
REASONS = (
    "unreadable", "too short", "silent", "offset", "clipped", "duplicate", "near duplicate",
    "outlier", "balance",
)  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """What a sound has to be like to be kept; see `scale.measure` for what is measured.

    cosine, correlation: of vectors and prints, from which on two sounds are nearly the same. Of 264
    real recordings and their copies as MP3 or Ogg at another gain, every copy had a cosine above
    0.9 and a correlation above 0.99; different recordings had correlations up to 0.97, but for two
    footsteps. outlier: of 120 spoken prompts none was above 5; of the clicks, drums, noises and
    tones among them two thirds were above 9.
    """

    shortest_s: float = 0.1
    silence_db: float = -60.0
    clipped: float = 0.001
    true_peak_db: float = 3.0
    offset: float = 0.1
    cosine: float = 0.85
    correlation: float = 0.98
    outlier: float = 10.0
    most: int = 0
    share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("clipped", "share"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"--{name} is {getattr(self, name)}: give a share, 0 to 1")
        if self.most < 0 or self.outlier <= 0 or self.shortest_s < 0:
            raise InputError("--most, --outlier and --shortest-s are not negative")


@dataclass(frozen=True)
class Verdict:
    """reason: one of `REASONS`, or "" for a sound that is kept. detail: in numbers, or of what."""

    reason: str = ""
    detail: str = ""


def choose(
    items: Sequence[Item],
    measured: Sequence[Mapping[str, Any]],
    vectors: np.ndarray,
    values: Sequence[str] | None,
    rules: Rules,
) -> list[Verdict]:
    """A verdict for each sound.

    measured: a row of `Measuring` for each. vectors: a row for each of those without an error, in
    their order. values: what is balanced, a value a sound.
    """
    verdicts = [_alone(row, rules) for row in measured]
    row_of = {n: k for k, n in enumerate(n for n, row in enumerate(measured) if "error" not in row)}
    left = [n for n, verdict in enumerate(verdicts) if not verdict.reason]
    order = sorted(left, key=lambda n: _rank(items[n], measured[n]))

    first: dict[str, int] = {}
    for n in order:
        kept = first.setdefault(measured[n]["sha256"], n)
        if kept != n:
            verdicts[n] = Verdict("duplicate", f"of {items[kept].part}")
    order = [n for n in order if not verdicts[n].reason]
    if order:
        rows = [row_of[n] for n in order]
        heard, prints = prints_apart(vectors[rows])
        unit = unit_rows(heard)
        for same in near_duplicates(
            unit, np.ascontiguousarray(prints), range(len(order)), rules.cosine, rules.correlation
        ):
            words = f"of {items[order[same.kept]].part}, correlation {same.correlation:.3f}"
            verdicts[order[same.sound]] = Verdict("near duplicate", words)
        stay = [k for k, n in enumerate(order) if not verdicts[n].reason]
        for k, score in zip(stay, loneliness(np.ascontiguousarray(unit[stay]), NEIGHBOURS)):
            if score > rules.outlier:
                verdicts[order[k]] = Verdict("outlier", f"z {score:.1f}")
    if values is not None:
        _balance(items, values, verdicts, rules)
    return verdicts


def _alone(row: Mapping[str, Any], rules: Rules) -> Verdict:
    """What a sound's own measures say."""
    if "error" in row:
        return Verdict("unreadable", row["error"])
    if row["duration_s"] < rules.shortest_s:
        return Verdict("too short", f"{row['duration_s']:.3f} s")
    if row["level_db"] < rules.silence_db:
        return Verdict("silent", f"{row['level_db']:.1f} dB")
    if row["dc"] > rules.offset:
        return Verdict("offset", f"{row['dc']:.3f} of full scale")
    if row["clipped"] > rules.clipped:
        return Verdict("clipped", f"{row['clipped']:.2%} of samples in flat tops")
    if row["true_peak_db"] > rules.true_peak_db:
        return Verdict("clipped", f"true peak {row['true_peak_db']:+.1f} dB")
    return Verdict()


def _rank(item: Item, row: Mapping[str, Any]) -> tuple[float, ...]:
    """Which of several copies stays: of the highest rate, not coded with loss, longest, first."""
    lossy = PurePosixPath(item.sound).suffix.lower() in LOSSY
    return (-row["rate_hz"], lossy, -round(row["duration_s"], 1), item.number)


def _balance(
    items: Sequence[Item], values: Sequence[str], verdicts: list[Verdict], rules: Rules
) -> None:
    """Of every value at most so many, drawn by a hash of the sound's path."""
    groups: dict[str, list[int]] = defaultdict(list)
    for n, verdict in enumerate(verdicts):
        if not verdict.reason:
            groups[values[n]].append(n)
    most = most_of_each(Counter({value: len(of) for value, of in groups.items()}), rules)
    for value, of in groups.items():
        for n in sorted(of, key=lambda n: _draw(items[n].part))[most:]:
            verdicts[n] = Verdict("balance", f"more than {most} of {value!r}")


def most_of_each(counts: Mapping[str, int], rules: Rules) -> int:
    """How many of each value may stay, so that none has more than its share of what stays.

    >>> most_of_each({"en": 90, "fr": 20, "it": 10}, Rules(share=0.5))
    30
    """
    most = rules.most or max(counts.values(), default=0)
    if rules.share < 1 and counts:
        if rules.share * len(counts) < 1:
            raise InputError(
                f"{len(counts)} values cannot have at most {rules.share:.0%} each: --share is too "
                "small"
            )
        while most > 1 and most > rules.share * sum(min(most, n) for n in counts.values()):
            most -= 1
    return most


def _draw(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
