"""Printing results: JSON for programs, tables and plain lines for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_json(value: Any) -> None:
    print(json_text(value), end="")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns as wide as they need to be; numbers to the right."""
    import rich.box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        drawn.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(_text(cell) for cell in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or file has no width to fit into
        console = Console(highlight=False, markup=False, width=200)
    with console.capture() as text:  # rich itself would end the process where a reader has gone
        console.print(drawn)
    print(text.get(), end="")


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else ""
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)
