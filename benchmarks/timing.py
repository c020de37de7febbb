"""How everything here is timed, and the rows that come out.

A row is a dict with "name" and either "value" and "unit", or "ours_s", "theirs_s", "ratio" (theirs
/ ours, more than 1 means that we are faster) and "peer". Where there is a goal it is "at_least" or
"at_most", of the ratio or the value. A ratio may have "low" and "high", the interval of its median.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
PAUSE_S = 0.2
TURN_S = 0.1


def alternately(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    """Median seconds of two functions that take turns.

    A pause before each turn lets the threads of the other side fall asleep: those of some
    libraries go on spinning for a while and would take a core from the next one.
    """
    ours, theirs = zip(*_turns(first, second, repeats))
    return statistics.median(ours), statistics.median(theirs)


def _turns(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> list[tuple[float, float]]:
    """Seconds of both functions, in each of the repeats; who begins changes from one to the next,
    as the second of two equal functions is not always as fast as the first.
    """
    sides = [(function, _calls(function)) for function in (first, second)]
    found = []
    for repeat in range(repeats):
        taken = [0.0, 0.0]
        for side in (0, 1) if repeat % 2 == 0 else (1, 0):
            function, count = sides[side]
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            for _ in range(count):
                function()
            taken[side] = (time.perf_counter() - began) / count
        found.append((taken[0], taken[1]))
    return found


def finely(
    name: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    repeats: int,
    peer: str,
    at_least: float | None = None,
) -> Row:
    """The row of two functions that are nearly as fast as one another.

    The ratio is the median of those of all repeats, each from two turns that follow one another, so
    that what slows the machine down for a while does so to both. Its interval, of at least 95 %, is
    that of a median: two of the ratios in their order, which the binomial distribution names.
    """
    taken = _turns(ours, theirs, repeats)
    ratios = sorted(theirs_s / ours_s for ours_s, theirs_s in taken)
    outside = _outside(repeats)
    ours_s, theirs_s = (statistics.median(side) for side in zip(*taken))
    return pair(name, ours_s, theirs_s, peer, at_least) | {
        "ratio": statistics.median(ratios),
        "low": ratios[outside],
        "high": ratios[-1 - outside],
    }


def _outside(count: int) -> int:
    """How many of `count` values on either side a 95 % interval of their median leaves out.

    >>> [_outside(count) for count in (3, 6, 20, 40)]
    [0, 0, 5, 13]
    """
    below, outside = 0.0, -1
    while (below := below + math.comb(count, outside + 1) / 2**count) <= 0.025:
        outside += 1
    return max(0, outside)


def speed(name: str, sound_s: float, function: Callable[[], Any], repeats: int) -> Row:
    """The row of a function that takes in `sound_s` seconds of sound: how much faster it is."""
    function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return figure(name, sound_s / statistics.median(times), "times as fast as it sounds")


def _calls(function: Callable[[], Any]) -> int:
    """How often to call a function in one turn, so that it lasts TURN_S; it is warm then."""
    function()
    began = time.perf_counter()
    function()
    return max(1, round(TURN_S / (time.perf_counter() - began)))


def pair(
    name: str, ours_s: float, theirs_s: float, peer: str, at_least: float | None = None
) -> Row:
    """The row of a comparison."""
    row = {
        "name": name,
        "ours_s": ours_s,
        "theirs_s": theirs_s,
        "ratio": theirs_s / ours_s,
        "peer": peer,
    }
    return row if at_least is None else row | {"at_least": at_least}


def figure(name: str, value: float, unit: str) -> Row:
    """The row of one number."""
    return {"name": name, "value": value, "unit": unit}


def amount(row: Row) -> float:
    return float(row["ratio"] if "ratio" in row else row["value"])


def goal(row: Row) -> str:
    """The goal in words, empty where there is none."""
    for key, words in (("at_least", "at least"), ("at_most", "at most")):
        if key in row:
            return f"{words} {row[key]:g}"
    return ""


def reached(row: Row) -> bool | None:
    """Whether the goal is met; None where there is none."""
    if "at_least" in row:
        return amount(row) >= row["at_least"]
    if "at_most" in row:
        return amount(row) <= row["at_most"]
    return None


def show(rows: list[Row]) -> None:
    """Print rows for people."""
    for row in rows:
        if "ratio" in row:
            what = f"{1e3 * row['ours_s']:9.1f} ms, {row['peer']} {1e3 * row['theirs_s']:.1f} ms"
            range_ = f" ({row['low']:.3f} to {row['high']:.3f})" if "low" in row else ""
            said = f"ratio {row['ratio']:.2f}{range_}  ({what.strip()})"
        else:
            said = f"{row['value']:.3g} {row['unit']}"
        met = {True: "reached", False: "NOT reached", None: ""}[reached(row)]
        print(f"{row['name']:<44} {said}" + (f"  goal {goal(row)}: {met}" if met else ""))
