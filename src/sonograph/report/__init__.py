"""A self-contained page that shows what a run heard, learned, reached and cost.

Fill the dataclasses of `content`, then `write_report(path, report)`.
"""

from __future__ import annotations

from sonograph.report.content import (
    Arm,
    Command,
    Costs,
    Curves,
    EmbeddingMap,
    Example,
    Licence,
    MapClip,
    Report,
    Series,
    TaskResult,
)
from sonograph.report.page import write_report

__all__ = [
    "Arm",
    "Command",
    "Costs",
    "Curves",
    "EmbeddingMap",
    "Example",
    "Licence",
    "MapClip",
    "Report",
    "Series",
    "TaskResult",
    "write_report",
]
