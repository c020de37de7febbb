"""How far each system works, told from evidence alone: the registry, committed records, its page.

Every rung is a function from a system to (reached, why); what is not reached says what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonograph import records, registry
from sonograph.errors import InputError
from sonograph.records import Record

Rung = tuple[bool, str]
NAMES = ("exact", "trains", "claim", "usable", "told")


def table(kept: list[Record] | None = None) -> list[dict[str, Any]]:
    """One entry a system: name, title, task, rungs and the evidence for each."""
    kept = records.read_all() if kept is None else kept
    return [entry_of(system, kept) for system in registry.systems()]


def entry_of(system: registry.System, kept: list[Record]) -> dict[str, Any]:
    judged = {name: _judge(JUDGES[name], system, kept) for name in NAMES}
    return {
        "name": system.name,
        "title": system.title,
        "task": system.task,
        "rungs": {name: reached for name, (reached, _) in judged.items()},
        "evidence": {name: why for name, (_, why) in judged.items()},
    }


def _judge(
    judge: Callable[[registry.System, list[Record]], Rung],
    system: registry.System,
    kept: list[Record],
) -> Rung:
    return judge(system, kept) if system.built else (False, "not built yet")


def exact(system: registry.System, kept: list[Record]) -> Rung:
    """Every count, golden case and comparison passed, with the file as it is now."""
    found = records.of(kept, system.name, "exact")
    if not found:
        return False, "no record: run `make evidence`"
    record = found[-1]
    if record.sources != sources(system):
        return False, f"stale: {system.name} has changed since {record.date}, run `make evidence`"
    if record.verdict != "shown":
        return False, f"failed on {record.date}: {'; '.join(record.details.get('failures', []))}"
    counts = {figure.name: int(figure.value) for figure in record.measured}
    return True, ", ".join(f"{count} {name}" for name, count in counts.items())


def trains(system: registry.System, kept: list[Record]) -> Rung:
    """The held-out loss fell on real data, and a killed run ended in the same weights."""
    found = records.of(kept, system.name, "trains")
    if not found:
        return False, "no record of a training"
    record = found[-1]
    losses = {figure.name: figure.value for figure in record.measured}
    before, after = losses.get("held-out loss before"), losses.get("held-out loss after")
    if before is None or after is None or not after < before:
        return False, f"the held-out loss did not fall ({before} to {after})"
    if record.details.get("resumed_equal") is not True:
        return False, "a run that was killed and resumed did not end in equal weights"
    return True, f"held-out loss {records.number(before)} to {records.number(after)}, resumes equal"


def claim(system: registry.System, kept: list[Record]) -> Rung:
    """The paper's claim was measured here, however it came out."""
    found = records.of(kept, system.name, "claim")
    if not found:
        return False, "not measured yet"
    return True, "; ".join(f"{record.verdict} ({record.date})" for record in found)


def usable(system: registry.System, kept: list[Record]) -> Rung:
    """Its verbs ran on real files as a user types them."""
    found = records.of(kept, system.name, "usable")
    if not found:
        return False, "no record of its verbs"
    runs = found[-1].details.get("runs", [])
    if failed := [run["command"] for run in runs if run["code"] != run["expected"]]:
        return False, f"failed: {'; '.join(failed)}"
    ran = {run["verb"] for run in runs}
    missing = [verb for verb in registry.module(system.name).ABOUT.verbs if verb not in ran]
    if missing or not runs:
        return False, f"not tried: {', '.join(missing) or 'any verb'}"
    return True, f"{len(runs)} commands: {', '.join(sorted(ran))}"


def told(system: registry.System, kept: list[Record]) -> Rung:
    """Its page is what the generator makes of the code and the records now."""
    from sonograph.atlas import pages

    folder = records.beside("docs")
    page = folder / "systems" / f"{system.name}.md" if folder else None
    if page is None or not page.is_file():
        return False, "no page: run `make docs`"
    try:
        wanted = pages.system_page(system, kept)
    except (AttributeError, InputError) as error:
        return False, f"no page can be made: {error}"
    if page.read_text(encoding="utf-8") != wanted:
        return False, "its page is older than the code or the records: run `make docs`"
    return True, f"docs/systems/{system.name}.md"


JUDGES: dict[str, Callable[[registry.System, list[Record]], Rung]] = {
    "exact": exact,
    "trains": trains,
    "claim": claim,
    "usable": usable,
    "told": told,
}


def sources(system: registry.System) -> dict[str, str]:
    """SHA-256 of a system's file, or of each file of its folder, by path in the package."""
    package = Path(__file__).resolve().parents[1]
    place = package / "systems" / system.task / system.name
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return {
        file.relative_to(package).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
