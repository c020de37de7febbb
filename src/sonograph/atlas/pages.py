"""The pages that nobody writes by hand: docs/systems/, docs/claims.md, docs/measured.md, and the
tables in the README, made from the code (registry, docstrings, ABOUT) and the records.

    python -m sonograph.atlas.pages
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sonograph import records, registry
from sonograph.atlas import counts
from sonograph.atlas.counts import parameters
from sonograph.errors import InputError
from sonograph.records import Record, number
from sonograph.writing import write_whole

BEGIN, END = "<!-- systems: made by `make docs` -->", "<!-- end of systems -->"
MADE = "<!-- Made by `make docs` from the code and the records: change those, not this. -->"


def system_page(system: registry.System, kept: list[Record]) -> str:
    """The page of a system that is built."""
    module = registry.module(system.name)
    about: registry.About = module.ABOUT
    docstring = inspect.cleandoc(module.__doc__ or "")
    parts = [
        MADE,
        f"# {system.title}",
        f"{about.summary} Code: `src/{system.place}`. Paper: {about.paper}.",
        f"```\n{docstring}\n```",
        "## When to use it",
        _list(about.use),
        "## When not",
        _list(about.avoid),
        "## Use",
        f"`sonograph models '{system.name}*'` lists its sizes. Verbs: "
        + ", ".join(f"`{verb}`" for verb in about.verbs)
        + "; each explains itself with `--help`.",
        *([f"![{about.picture}]({system.name}.png)", about.picture] if about.picture else []),
        "## Sizes",
        _sizes(system),
        "## Speed here",
        _benchmarks(kept, system.name),
        "## What the paper claims, and what was measured here",
        "The paper:",
        _list(about.figures),
        _claims(kept, system.name),
        "## Exactness",
        _checked(kept, system.name),
        "## Licences",
        _list(
            (
                "this code: Apache-2.0",
                f"the official code, which none of this is copied from: {about.code_licence}",
                f"published weights: {about.weights_licence}",
            )
        ),
        "## Where this differs from the paper",
        _list(about.deviations),
        "## Faults of the official code that are not repeated",
        _list(about.faults),
    ]
    return "\n\n".join(parts) + "\n"


VERDICTS = ("shown", "not shown", "inconclusive")


def claims_page(kept: list[Record]) -> str:
    """Every claim that was measured, whatever came out: a line each, the rest on its page."""
    found = [record for record in kept if record.kind == "claim"]
    count = {verdict: sum(r.verdict == verdict for r in found) for verdict in VERDICTS}
    rows = [
        [
            f"[{one.system}](systems/{one.system}.md)",
            one.sentence,
            _headline(one.measured),
            f"**{one.verdict}**" if one.verdict == "shown" else one.verdict,
        ]
        for one in found
    ]
    parts = [
        MADE,
        "# Claims, measured",
        "What the papers claim, measured here on real recordings by a rule that was written down "
        "before the run; its page has the rule, the arms, the paper's own figures and all values. "
        "*Not shown* and *inconclusive* stand as they came out: most were measured in minutes on "
        "two cores, where intervals are wide.",
        f"{len(found)} claims: "
        + ", ".join(f"{n} {verdict}" for verdict, n in count.items())
        + ".",
        _table(["system", "claim", "measured here (95 % interval)", ""], rows),
        "`sonograph claim NAME` measures one again, `--scale gpu` larger.",
    ]
    return "\n\n".join(parts) + "\n"


def _headline(figures: Iterable[Any]) -> str:
    """The figure that a verdict rests on: the first."""
    first = next(iter(figures), None)
    return f"{first.name}: {first.amount()}" if first else ""


def systems_page() -> str:
    """All systems by what a user does with them."""
    tasks: dict[str, list[registry.System]] = {}
    for system in registry.systems():
        tasks.setdefault(system.task, []).append(system)
    parts = [MADE, "# Systems"]
    for task, systems in tasks.items():
        built = [
            f"- [{one.name}]({one.name}.md): {registry.module(one.name).ABOUT.summary}"
            for one in systems
            if one.built
        ]
        coming = ", ".join(one.name for one in systems if not one.built)
        parts += [
            f"## {task.capitalize()}",
            "\n".join(built) if built else "",
            f"To come: {coming}." if coming else "",
        ]
    names = [one.name for one in registry.systems() if one.built]
    parts.append("\n".join(["```{toctree}", ":hidden:", "", *names, "```"]))  # of the site
    return "\n\n".join(part for part in parts if part) + "\n"


def measured_page(kept: list[Record]) -> str:
    """Speed and memory: every benchmark that was recorded."""
    found = sorted({r.system for r in kept if r.kind == "benchmark"})
    parts = [
        MADE,
        "# Speed and memory",
        "Both sides of a comparison were timed alternately in one run; `sonograph bench` does it "
        "again on your machine.",
    ]
    for name in found:
        parts += [f"## {name}", _benchmarks(kept, name)]
    return "\n\n".join(parts) + "\n"


def readme_table(kept: list[Record]) -> str:
    """The table of systems between the marks of the README."""
    from sonograph.atlas import rungs

    entries = rungs.table(kept)
    built = [entry for entry in entries if registry.system(entry["name"]).built]
    rows = [
        [
            f"[{entry['name']}](docs/systems/{entry['name']}.md)",
            entry["task"],
            *("yes" if entry["rungs"][name] else "" for name in rungs.NAMES),
        ]
        for entry in built
    ]
    waiting: dict[str, list[str]] = {}
    for entry in entries:
        if entry not in built:
            waiting.setdefault(entry["task"], []).append(entry["name"])
    coming = [f"- {task}: {', '.join(names)}" for task, names in waiting.items()]
    return "\n\n".join(
        [
            BEGIN,
            _table(["system", "task", *rungs.NAMES], rows),
            f"To come ({len(entries) - len(built)}):",
            "\n".join(coming),
            END,
        ]
    )


def with_table(readme: str, table: str) -> str:
    """The README with the table in its place; InputError where the marks are missing."""
    if BEGIN not in readme or END not in readme:
        raise InputError(f"README.md lacks the marks {BEGIN} and {END}")
    before, rest = readme.split(BEGIN, 1)
    return before + table + rest.split(END, 1)[1]


def everything(root: Path) -> dict[Path, str]:
    """Path and text of every generated file; the README is judged after the pages are written."""
    kept = records.read_all(root / "records")
    docs = root / "docs"
    made = {docs / "systems" / f"{s.name}.md": system_page(s, kept) for s in _told()}
    return made | {
        docs / "claims.md": claims_page(kept),
        docs / "measured.md": measured_page(kept),
        docs / "systems" / "index.md": systems_page(),
    }


def main() -> int:
    root = records.checkout()
    if root is None:
        print("sonograph: pages are written in a checkout, and this is none", file=sys.stderr)
        return 2
    write_whole(counts.COUNTS, counts.content().encode())
    counts._known.cache_clear()
    print(counts.COUNTS.relative_to(root))
    for path, text in everything(root).items():
        write_whole(path, text.encode())
        print(path.relative_to(root))
    readme = root / "README.md"
    table = readme_table(records.read_all(root / "records"))
    write_whole(readme, with_table(readme.read_text(encoding="utf-8"), table).encode())
    print("README.md")
    return 0


# --- parts of pages ------------------------------------------------------------------------------


def _told() -> list[registry.System]:
    return [system for system in registry.systems() if system.built]


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _sizes(system: registry.System) -> str:
    rows = []
    for preset in registry.presets():
        if preset.system == system.name:
            count = parameters(preset.name)
            published = f"{preset.parameters:,}" if preset.parameters else ""
            rows.append([f"`{preset.name}`", f"{count:,}", published, preset.note])
    return _table(["preset", "parameters", "published", ""], rows)


def _benchmarks(kept: list[Record], system: str | None) -> str:
    """Figures of the benchmark records: of one system, or of all."""
    found = [r for r in kept if r.kind == "benchmark" and system in (None, r.system)]
    if not found:
        return "Not recorded yet: `sonograph bench` measures it."
    rows = [
        [figure.name, figure.amount(), figure.goal]
        for record in found
        for figure in record.measured
    ]
    where = sorted({f"{record.machine}, {record.date}" for record in found})
    return _table(["", "measured", "goal"], rows) + f"\n\nMeasured on {'; '.join(where)}."


def _claims(kept: list[Record], system: str) -> str:
    found = records.of(kept, system, "claim")
    if not found:
        return f"Not measured here yet: `sonograph claim {system}` does."
    return "\n\n".join(_claim(record) for record in found)


def _claim(record: Record) -> str:
    rows = [["here", figure.name, figure.amount()] for figure in record.measured]
    rows += [["paper", figure.name, figure.amount()] for figure in record.paper]
    return "\n\n".join(
        [
            f"**{record.verdict.capitalize()}**: {record.sentence}",
            f"Rule, written before the run: {record.rule}",
            _table(["", "", "value (95 % interval)"], rows),
            f"Arms: {', '.join(record.arms)}. Data: {', '.join(record.data)}. "
            f"Seeds: {', '.join(map(str, record.seeds))}. {record.machine}, "
            f"{number(record.seconds)} s, commit {record.commit}, {record.date}.",
        ]
    )


def _checked(kept: list[Record], system: str) -> str:
    found = records.of(kept, system, "exact")
    if not found:
        return "Not recorded yet: `make evidence` does."
    record = found[-1]
    lines = [str(figure) for figure in record.measured]
    lines += [f"failed: {failure}" for failure in record.details.get("failures", [])]
    return f"{record.sentence} **{record.verdict.capitalize()}** on {record.date}:\n\n" + _list(
        lines
    )


if __name__ == "__main__":
    sys.exit(main())
