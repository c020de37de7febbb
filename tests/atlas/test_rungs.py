"""A rung is reached by evidence alone, and an empty one says what is missing."""

from __future__ import annotations

import dataclasses

import pytest

from sonograph import registry
from sonograph.atlas import rungs
from sonograph.records import Figure, Record

SSAST = registry.system("ssast")
BARE = Record(
    system="ssast",
    kind="exact",
    sentence="s",
    rule="r",
    verdict="shown",
    measured=(Figure("golden cases", 3),),
    sources=rungs.sources(SSAST),
)


def judged(rung: str, *kept: Record) -> tuple[bool, str]:
    return rungs.JUDGES[rung](SSAST, list(kept))


def test_without_records_only_the_page_can_count() -> None:
    rungs_of = rungs.entry_of(SSAST, [])["rungs"]
    assert [name for name in rungs.NAMES if rungs_of[name]] in ([], ["told"])


def test_what_is_not_built_has_no_rung() -> None:
    waiting = next(system for system in registry.systems() if not system.built)
    kept = [
        dataclasses.replace(BARE, system=waiting.name, kind=kind) for kind in ("exact", "claim")
    ]
    entry = rungs.entry_of(waiting, kept)
    assert not any(entry["rungs"].values())
    assert set(entry["evidence"].values()) == {"not built yet"}


def test_exact() -> None:
    assert judged("exact", BARE) == (True, "3 golden cases")
    changed = dataclasses.replace(BARE, sources={"systems/represent/ssast.py": "0" * 64})
    reached, why = judged("exact", changed)
    assert not reached
    assert "stale" in why
    failed = dataclasses.replace(BARE, verdict="not shown", details={"failures": ["one case"]})
    reached, why = judged("exact", failed)
    assert not reached
    assert "one case" in why


@pytest.mark.parametrize(
    ("before", "after", "equal", "reached"),
    [(2.0, 1.0, True, True), (1.0, 1.0, True, False), (2.0, 1.0, False, False)],
)
def test_trains(before: float, after: float, equal: bool, reached: bool) -> None:
    losses = (Figure("held-out loss before", before), Figure("held-out loss after", after))
    record = dataclasses.replace(
        BARE, kind="trains", measured=losses, details={"resumed_equal": equal}
    )
    assert judged("trains", record)[0] is reached


def test_a_claim_counts_however_it_came_out() -> None:
    record = dataclasses.replace(BARE, kind="claim", verdict="not shown", date="2026-11-22")
    assert judged("claim", record) == (True, "not shown (2026-11-22)")


def test_usable_needs_every_verb_and_every_code() -> None:
    verbs = registry.module("ssast").ABOUT.verbs
    runs = [{"verb": verb, "command": verb, "code": 0, "expected": 0} for verb in verbs]

    def record(found: list) -> Record:
        return dataclasses.replace(BARE, kind="usable", details={"runs": found})

    assert judged("usable", record(runs))[0]
    assert judged("usable", record(runs[1:])) == (False, f"not tried: {verbs[0]}")
    assert judged("usable", record([{**runs[0], "code": 1}, *runs[1:]]))[0] is False
    assert judged("usable", record([]))[0] is False


def test_a_page_of_other_records_is_old() -> None:
    other = dataclasses.replace(BARE, measured=(Figure("golden cases", 99),), date="2020-01-01")
    reached, why = judged("told", other)
    assert not reached
    assert "make docs" in why
