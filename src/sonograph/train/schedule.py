"""Learning-rate schedules as plain functions of the step, so that a resumed run needs no scheduler.

Every function returns a factor for the base learning rate. `step` counts the updates already made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal


def warmup(step: int, warmup_steps: int) -> float:
    """Linear rise to 1 over `warmup_steps` updates; the first update already has a rate above 0.

    >>> [warmup(step, 4) for step in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def cosine(step: int, steps: int, warmup_steps: int = 0, floor: float = 0.0) -> float:
    """Half a cosine from 1 (end of the warm-up) to `floor` (update `steps`), after SGDR (2017).

    >>> round(cosine(50, 100), 6), cosine(100, 100, floor=0.1)
    (0.5, 0.1)
    """
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))


def linear(step: int, steps: int, warmup_steps: int = 0) -> float:
    """A line from 1 (end of the warm-up) to 0 (update `steps`), as BERT and TERA were trained.

    >>> linear(10, 110, warmup_steps=10), linear(60, 110, warmup_steps=10), linear(120, 110)
    (1.0, 0.5, 0.0)
    """
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 1 - min(1.0, max(0.0, done))


def rsqrt(step: int, warmup_steps: int, decay_at: Sequence[int] = (), factor: float = 1.0) -> float:
    """The root of warm-up over updates, after the warm-up; `factor` once for each bound passed.

    With `warmup` before it Vaswani et al. 2017 (5.3), whose peak width^-0.5 warmup^-0.5 is the
    base rate.

    >>> [rsqrt(step, 4) for step in (0, 3, 15)], rsqrt(16, 4, (16,), 0.5) < 0.25
    ([1.0, 1.0, 0.5], True)
    """
    passed = sum(step + 1 > bound for bound in decay_at)
    return math.sqrt(max(1, warmup_steps) / max(step + 1, warmup_steps)) * factor**passed


def exponential(step: int, epoch_steps: int, factor: float, flat_epochs: int = 0) -> float:
    """`factor` once for every epoch begun after the first `flat_epochs` (AST, SSAST fine-tuning).

    >>> [exponential(step, 10, 0.5, flat_epochs=2) for step in (0, 19, 20, 30)]
    [1.0, 1.0, 0.5, 0.25]
    """
    epoch = step // epoch_steps
    return factor ** max(0, epoch - max(flat_epochs, 1) + 1)


def better(value: float, than: float, direction: Literal["min", "max"]) -> bool:
    """Whether a value is a new best; anything is better than NaN, and NaN than nothing.

    >>> better(0.2, 0.3, "min"), better(0.2, float("nan"), "max"), better(float("nan"), 0.3, "max")
    (True, True, False)
    """
    if math.isnan(value) or math.isnan(than):
        return math.isnan(than) and not math.isnan(value)
    return value > than if direction == "max" else value < than


LEAST_GAIN = 1e-4  # of the best value: what is less is no new best; torch's ReduceLROnPlateau


class Plateau:
    """Multiply the rate by `factor` after more than `patience` evaluations without a new best."""

    def __init__(self, factor: float, patience: int, direction: Literal["min", "max"]):
        self.decay, self.patience, self.direction = factor, patience, direction
        self.factor = 1.0
        self.best: float | None = None
        self.waited = 0

    def observe(self, value: float) -> None:
        gain = 1 + LEAST_GAIN if self.direction == "max" else 1 - LEAST_GAIN
        if self.best is None or better(value, gain * self.best, self.direction):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.factor, self.waited = self.factor * self.decay, 0

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.factor, self.best, self.waited = state["factor"], state["best"], state["waited"]
