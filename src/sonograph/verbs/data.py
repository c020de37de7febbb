"""`sonograph data`: what real sound there is to fetch, its licence; fetch it; look into it."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

ACTIONS = ("list", "get", "show")


@dataclasses.dataclass(frozen=True)
class Args:
    action: Positional[Annotated[str, arg(metavar="{list,get,show}")]] = "list"
    """list: all corpora and sets; get NAME...: fetch them; show NAME...: what is in them."""
    names: Positional[Annotated[tuple[str, ...], arg(metavar="NAME")]] = ()
    """Corpora or sets, such as mini or core; `show` takes folders, .csv and .jsonl too."""
    folder: Path | None = None
    """Where corpora lie; else $SONOGRAPH_DATA, else ./sonograph-data."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    from sonograph.errors import InputError, did_you_mean

    if args.action not in ACTIONS:
        raise InputError(
            f"`sonograph data` does not know {args.action!r}: it knows {', '.join(ACTIONS)}."
            f"{did_you_mean(args.action, ACTIONS)}"
        )
    if args.action != "list" and not args.names:
        raise InputError(f"`sonograph data {args.action}` what? Give names, such as mini")
    return {"list": _list, "get": _get, "show": _show}[args.action](args)


def _list(args: Args) -> int:
    from sonograph.data.corpora import CORPORA, SETS, names_of, plan
    from sonograph.verbs import show

    rows = plan(names_of(args.names) if args.names else list(CORPORA), args.folder)
    if args.json:
        show.as_json(
            {"corpora": rows, "sets": {name: list(inside) for name, inside in SETS.items()}}
        )
        return 0
    _table(rows)
    for name, inside in SETS.items():
        size = sum(CORPORA[one].megabytes for one in inside)
        print(f"set {name:<7} {size:4.0f} MB  {' '.join(inside)}")
    print("\n`sonograph data get mini` fetches a set; `sonograph data show NAME` looks into it.")
    return 0


def _get(args: Args) -> int:
    from sonograph.data.corpora import data_folder, get, plan
    from sonograph.progress import Line
    from sonograph.verbs import show

    root = args.folder or data_folder()
    rows = plan(args.names, root)
    missing = [row for row in rows if not row["ready"]]
    if not args.json:
        _table(rows)
        size = sum(row["megabytes"] for row in missing)
        print(f"{len(missing)} of {len(rows)} to fetch, {size:.0f} MB, into {root}", flush=True)
    rows = get(args.names, root, Line("fetching"))
    if args.json:
        show.as_json({"folder": str(root), "corpora": rows})
    else:
        print(f"all there; where each comes from and its licence: {root}/*/ATTRIBUTION")
    return 0


def _show(args: Args) -> int:
    from sonograph.data.named import open_data
    from sonograph.verbs import show

    told = [_about(name, open_data([name], args.folder)) for name in args.names]
    if args.json:
        show.as_json(told)
        return 0
    for one in told:
        print(f"{one['name']}: {one['clips']:,} clips, {one['minutes']:.1f} min")
        for key in ("licences", "languages", "rates_hz", "splits"):
            if one[key]:
                values = ", ".join(f"{name} ({count})" for name, count in one[key].items())
                print(f"  {key.replace('_', ' ')}: {values}")
        print(f"  with text: {one['with_text']}; speakers: {one['speakers']}")
        for task, classes in one["tasks"].items():
            first = ", ".join(f"{name} ({count})" for name, count in list(classes.items())[:12])
            more = f" and {len(classes) - 12} more" if len(classes) > 12 else ""
            print(
                f"  task {task}: {sum(classes.values())} clips, {len(classes)} classes: "
                f"{first}{more}"
            )
    return 0


def _about(name: str, clips: Any) -> dict[str, Any]:
    """What a set of clips holds, in plain values; classes with the most clips come first."""
    tasks = {
        task: dict(Counter(clip.labels[task] for clip in clips.labelled(task)).most_common())
        for task in sorted(clips.tasks())
    }
    return {
        "name": name,
        "clips": len(clips),
        "minutes": round(clips.seconds / 60, 2),
        "licences": dict(Counter(clip.licence for clip in clips if clip.licence).most_common()),
        "languages": dict(Counter(clip.language for clip in clips if clip.language).most_common()),
        "rates_hz": dict(Counter(clip.rate_hz for clip in clips).most_common()),
        "splits": dict(sorted(Counter(clip.split for clip in clips if clip.split).items())),
        "with_text": sum(clip.text is not None for clip in clips),
        "speakers": len({clip.speaker for clip in clips if clip.speaker}),
        "tasks": tasks,
    }


def _table(rows: list[dict[str, Any]]) -> None:
    from sonograph.verbs import show

    columns = ("name", "MB", "here", "licence", "what")
    cells = [[r["name"], r["megabytes"], r["ready"], r["licence"], r["what"]] for r in rows]
    show.table(columns, cells)
    sys.stdout.flush()
