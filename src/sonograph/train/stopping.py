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


@dataclasses.dataclass(frozen=True)
class WhenFlat:
    """Stop when the layer of convergence of a learning curve is at most `tau`.

    tau: in units of the quantity; what is left to gain, with endless steps at this pace. quantity
    and direction: which number of a line, and whether it should rise ("max", up to 1) or fall.
    Before the prediction level, and on a curve that turns around, training goes on. See
    `systems/study/learning_curves/`.
    """

    tau: float
    quantity: str
    direction: Literal["min", "max"]

    def __call__(self, entries: Sequence[Mapping[str, Any]]) -> str:
        from sonograph.systems.study.learning_curves import Config, forecast, forecast_losses

        seen = [(e["step"], e[self.quantity]) for e in entries if self.quantity in e]
        seen = [(step, value) for step, value in seen if math.isfinite(value)]
        steps, values = [step for step, _ in seen], [value for _, value in seen]
        tell = forecast if self.direction == "max" else forecast_losses
        if not seen or min(values) < 0 or (self.direction == "max" and max(values) > 1):
            return ""  # no accuracy and no loss: nothing is known about its end
        told = tell(steps, values, config=Config(draws=0))
        if told.layer is None or told.layer > self.tau:
            return ""
        return (
            f"{self.quantity} {values[-1]:.4g} after step {steps[-1]} is flat: its layer of "
            f"convergence is {told.layer:.3g}, within {self.tau:g}"
        )
