"""When to stop before the last step: rules that are asked after every evaluation.

A rule looks at nothing but the held-out lines of the log, so that a run that was killed and goes on
stops where it would have stopped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol


class Stopping(Protocol):
    """Why training should stop after these held-out lines of the log; empty: it goes on."""

    def __call__(self, entries: Sequence[Mapping[str, Any]]) -> str: ...


TRENDS = 7  # of the last levels: as many as have to stand still before a curve is forecast


@dataclasses.dataclass(frozen=True)
class WhenFlat:
    """Stop where each of the last trends of a learning curve has at most `tau` left to gain.

    tau: in units of the quantity. quantity and direction: which number of a line, and whether it
    should rise ("max", up to 1) or fall. until: the step that training would end with; what lies
    beyond it would not be gained in any case. A power law still falls there, ever more slowly, and
    its limit moves long after its next steps are known, so that a rule which waits for the limit
    (the layer of convergence) hardly ever ends a run. On a curve that turns around, or has not
    begun to flatten, training goes on. See `systems/study/learning_curves/`.
    """

    tau: float
    quantity: str
    direction: Literal["min", "max"]
    until: float = math.inf

    def __call__(self, entries: Sequence[Mapping[str, Any]]) -> str:
        import numpy as np

        from sonograph.systems.study.learning_curves import FIRST_LEVEL, fit, hypotheses

        seen = [(e["step"], e[self.quantity]) for e in entries if self.quantity in e]
        seen = [(step, value) for step, value in seen if math.isfinite(value)]
        if len(seen) < FIRST_LEVEL + TRENDS - 1:
            return ""
        steps, values = np.array(seen, dtype=float).T
        top = 1.0 if self.direction == "max" else float(values.max())
        if values.min() < 0 or values.max() > top or top == 0:
            return ""  # no accuracy and no loss: nothing is known about its end
        percent = (values if self.direction == "max" else top - values) * (100 / top)
        checked = hypotheses(steps, percent)
        if not (checked.increasing and checked.concave):
            return ""
        levels = range(len(steps) - TRENDS + 1, len(steps) + 1)
        trends = fit(steps, np.tile(percent, (TRENDS, 1)), levels=levels)
        now, end = trends([steps[-1], max(self.until, steps[-1])]).T
        left = float((np.minimum(end, 100.0) - now).max()) * top / 100
        if left > self.tau:
            return ""
        return (
            f"{self.quantity} {values[-1]:.4g} after step {steps[-1]:.0f} is flat: until "
            f"{'its limit' if math.isinf(self.until) else f'step {self.until:.0f}'} at most "
            f"{max(left, 0.0):.3g} is left to gain, within {self.tau:g}"
        )
