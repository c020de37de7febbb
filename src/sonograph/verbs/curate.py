"""`sonograph curate`: of many sounds those that are worth keeping."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from sonograph.verbs.many import Pool

if TYPE_CHECKING:
    from sonograph.scale.choose import Rules, Verdict
    from sonograph.scale.manifest import Item

TAG = "tag"  # what is balanced when a tagger says it


@dataclasses.dataclass(frozen=True)
class Args:
    manifest: Positional[str]
    """Sounds by a .jsonl or .csv with paths or URLs, or a folder; on any path fsspec knows."""
    output: Annotated[str, arg(aliases=["-o"])] = "kept.jsonl"
    """What is kept. Beside it NAME.dropped.jsonl says why the rest is not, NAME.report.json how
    much of what there was, and NAME.measured/ holds the measures: other rules need no new ones."""
    model: str = "ssast-mini"
    """What near duplicates and outliers are told by."""
    shortest_s: float = 0.1
    """Sounds shorter than this go."""
    silence_db: float = -60.0
    """Sounds whose loudest 0.4 s are softer than this go; dB of full scale."""
    clipped: float = 0.001
    """Sounds with a larger share of samples in flat tops go."""
    true_peak_db: float = 3.0
    """Sounds that overshoot full scale by more go: traces of clipping before a lossy coder."""
    offset: float = 0.1
    """Sounds with a larger mean go; share of full scale."""
    cosine: float = 0.85
    """Near duplicates have vectors with this cosine or more ..."""
    correlation: float = 0.98
    """... and pictures with this correlation or more. 1.1 keeps them all."""
    outlier: float = 10.0
    """Sounds go whose distance to their nearest five is so many robust deviations above usual."""
    balance: str = ""
    """A field of the manifest (language, labels.class ...), or `tag`: what a tagger hears."""
    most: int = 0
    """With --balance: at most so many of each value."""
    share: float = 1.0
    """With --balance: no value has more than this share of what is kept."""
    tagger: str = ""
    """With --balance tag: a model with labels; the bundled one, unless told."""
    pool: Pool = Pool()
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.errors import InputError
    from sonograph.progress import Line
    from sonograph.scale.choose import choose
    from sonograph.scale.manifest import read_manifest
    from sonograph.scale.measure import Measuring
    from sonograph.scale.places import Place
    from sonograph.scale.run import map_shards
    from sonograph.scale.work import lines
    from sonograph.verbs import show
    from sonograph.weights import BUNDLED_TAGGER

    rules = _rules(args)
    folder, _, name = args.output.rpartition("/")
    stem = PurePosixPath(name).stem
    if PurePosixPath(name).suffix != ".jsonl":
        raise InputError(f"{args.output} must end in .jsonl")
    if (args.most or args.share < 1) and not args.balance:
        raise InputError("what is to be balanced? --most and --share go with --balance FIELD")
    if args.balance and not args.most and args.share == 1:
        raise InputError("--balance needs --most N or --share S")
    items = read_manifest(args.manifest)
    tagged = args.balance == TAG
    values = _values(items, args.balance) if args.balance and not tagged else None
    tagger = (args.tagger or BUNDLED_TAGGER) if tagged else ""
    place = Place(folder or ".")
    pool = args.pool
    done = map_shards(
        Measuring(args.model, tagger), items, place.at(f"{stem}.measured"),
        pool.engine, pool.jobs, pool.shard_size, pool.largest_mb, Line("measuring"),
    )  # fmt: skip
    measured, vectors = _results(done.output)
    if tagged:
        values = [str(row.get("tag", "")) for row in measured]
    verdicts = choose(items, measured, vectors, values, rules)
    kept = [_row(item) for item, verdict in zip(items, verdicts) if not verdict.reason]
    dropped = [
        _row(item) | {"reason": verdict.reason, "detail": verdict.detail}
        for item, verdict in zip(items, verdicts)
        if verdict.reason
    ]
    report = _report(measured, verdicts, values, rules)
    place.write(f"{stem}.dropped.jsonl", lines(dropped))
    place.write(f"{stem}.report.json", show.json_text(report).encode())
    place.write(name, lines(kept))
    if args.json:
        show.as_json(report | {"output": args.output})
    else:
        _print(report, args.output)
    return 0


def _rules(args: Args) -> Rules:
    from sonograph.scale.choose import Rules

    return Rules(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Rules)})


def _results(output: str) -> tuple[list[dict[str, Any]], Any]:
    """The rows that were measured, and the vectors of those without an error."""
    import io
    import json

    import numpy as np

    from sonograph.scale.merge import ROWS, VECTORS
    from sonograph.scale.places import Place

    place = Place(output)
    rows = [json.loads(line) for line in (place.read(ROWS) or b"").splitlines()]
    content = place.read(VECTORS) if any("error" not in row for row in rows) else None
    if content is None:
        return rows, np.zeros((0, 0), np.float32)
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return rows, file["values"]


def _values(items: Sequence[Item], field: str) -> list[str]:
    """What the manifest says of each sound, to be balanced; "" where it says nothing."""
    from sonograph.errors import InputError, did_you_mean

    values = []
    for item in items:
        value: Any = item.row
        for part in field.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        values.append("" if value is None else str(value))
    if not any(values):
        known = sorted({key for item in items[:1000] for key in item.row})
        raise InputError(
            f"no sound of the manifest has a field {field!r}.{did_you_mean(field, known)}"
        )
    return values


def _row(item: Item) -> dict[str, Any]:
    """The manifest's own row, with a path that is good from everywhere."""
    from sonograph.scale.manifest import PATHS

    row = dict(item.row)
    if isinstance(row.get("recording"), dict):
        source = {**row["recording"]["sources"][0], "source": item.sound}
        return row | {"recording": {**row["recording"], "sources": [source]}}
    name = next(name for name in PATHS if row.get(name))
    return row | {name: item.sound}


def _report(
    measured: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Verdict],
    values: Sequence[str] | None,
    rules: Rules,
) -> dict[str, Any]:
    from collections import Counter

    from sonograph.scale.choose import REASONS

    count = Counter(verdict.reason for verdict in verdicts)
    seconds = [float(row.get("duration_s", 0.0)) for row in measured]
    kept_s = sum(s for s, verdict in zip(seconds, verdicts) if not verdict.reason)
    told: dict[str, Any] = {
        "sounds": len(verdicts),
        "kept": count[""],
        "dropped": {reason: count[reason] for reason in REASONS if count[reason]},
        "hours": round(sum(seconds) / 3600, 4),
        "hours_kept": round(kept_s / 3600, 4),
        "rules": dataclasses.asdict(rules),
    }
    if values is not None:
        stay = Counter(v for v, verdict in zip(values, verdicts) if not verdict.reason)
        told["balance"] = {
            value: {"sounds": number, "kept": stay[value]}
            for value, number in sorted(Counter(values).items())
        }
    return told


def _print(report: Mapping[str, Any], output: str) -> None:
    from sonograph.verbs import show

    print(f"{report['kept']:,} of {report['sounds']:,} sounds kept in {output}")
    print(f"{report['hours_kept']:.2f} of {report['hours']:.2f} hours")
    if report["dropped"]:
        show.table(("dropped as", "sounds"), list(report["dropped"].items()))
    if "balance" in report:
        rows = [(value or "(none)", *of.values()) for value, of in report["balance"].items()]
        show.table(("value", "sounds", "kept"), rows)
