"""Record the weights' names and shapes of a system, so that a rename cannot orphan checkpoints.

python -m tests.contract.record SYSTEM [PUBLISHED PRESET]

`state`: those of the `-test` preset within its objective, `more`: of a system's further ones.
`published`: those of official files, by preset, read from the golden cases (official code wrote
them), never made from our own table.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.contract.cases import CROSSED, RECORDED, Case, shapes


def record(system: str, published: dict[str, str]) -> None:
    """published: preset -> name of the golden case with the file's layout."""
    from tests.conftest import shared_folder
    from tests.golden.test_golden import golden

    found = [Case(preset) for preset in CROSSED if preset.system == system]
    cases = {}
    for preset, name in published.items():
        folder = shared_folder()
        assert folder is not None
        official = golden().read_case(folder / "golden" / f"{name}.npz")
        cases[preset] = shapes(golden().published_state(official))
    states = [shapes((case.pretraining() or case.model()).state_dict()) for case in found]
    rows: dict[str, Any] = {"state": states[0], "published": cases}
    if more := {case.preset.name: state for case, state in zip(found[1:], states[1:])}:
        rows["more"] = more
    RECORDED.mkdir(exist_ok=True)
    text = json.dumps(rows, indent=1)
    (RECORDED / f"{system}.json").write_text(text + "\n")


if __name__ == "__main__":
    pairs = dict(pair.split("=") for pair in sys.argv[2:])
    record(sys.argv[1], pairs)
