"""The run's log: one JSON object a line, and curves drawn from it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sonograph.writing import explained, replacing, write_whole

MAX_COLUMNS = 3


class Log:
    """`log.jsonl` of a run. Every line has "step" and "kind" ("train" or "valid")."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, entry: Mapping[str, Any]) -> None:
        with explained(self.path.parent), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def cut(self, step: int) -> None:
        """Forget what lies beyond `step`: the run goes on from there and will write it again."""
        kept = [entry for entry in read_log(self.path) if entry["step"] <= step]
        write_whole(self.path, "".join(json.dumps(entry) + "\n" for entry in kept).encode())


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """All entries; a last line that was cut off by a kill is left out."""
    path = Path(path)
    entries = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def curves(entries: list[dict[str, Any]]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Entries as {quantity: {kind: (steps, values)}}."""
    found: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for entry in entries:
        for name, value in entry.items():
            if name in ("step", "kind") or not isinstance(value, int | float):
                continue
            steps, values = found.setdefault(name, {}).setdefault(entry["kind"], ([], []))
            steps.append(entry["step"])
            values.append(value)
    return found


def draw(folder: str | Path) -> Path | None:
    """Write `curves.png` beside the log; None without matplotlib or without entries."""
    folder = Path(folder)
    found = curves(read_log(folder / "log.jsonl"))
    if not found or importlib.util.find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    columns = min(MAX_COLUMNS, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    for place, (name, kinds) in enumerate(found.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        for kind, (steps, values) in kinds.items():
            marker = "o" if len(steps) < 20 else ""
            axes.plot(steps, values, label=kind, marker=marker, markersize=3, linewidth=1.2)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        if len(kinds) > 1:
            axes.legend(fontsize=7, frameon=False)
    path = folder / "curves.png"
    with explained(folder), replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path
