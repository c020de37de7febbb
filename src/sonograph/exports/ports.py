"""What goes into an exported file and what comes out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int | str, ...]  # a word is an axis that is free where the file says so
BATCH = "batch"
# (clips, length, generator) -> inputs like those that it will see
Draw = Callable[[int, int, torch.Generator], tuple[Tensor, ...]]


@dataclasses.dataclass(frozen=True)
class Port:
    """One input or output: `words` says what it holds, with its unit."""

    name: str
    shape: Shape
    words: str
    dtype: str = "float32"


@dataclasses.dataclass(frozen=True)
class Length:
    """The axis that is long or short with the sound: `least` to `most`, a multiple of `step`.

    usual: what the model is given in practice, and the only length where it cannot be free.
    """

    name: str
    usual: int
    least: int = 1
    most: int | None = None
    step: int = 1

    def fitted(self, value: float) -> int:
        """The nearest length that is taken."""
        top = self.most or max(self.usual, self.least)
        steps = round(min(max(value, self.least), top) / self.step)
        low, high = -(-self.least // self.step), top // self.step
        return self.step * min(max(steps, low), high)


@dataclasses.dataclass(frozen=True)
class Surface:
    """A model from outside: a module of tensors in, a tuple of tensors out.

    free: axes that may differ from call to call, unless following the model shows that they may
    not; both where nothing is said. about: what whoever embeds it needs to know beside (rate,
    labels, window ...). followed: the same module in other words, where exporters need those.
    """

    kind: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    length: Length
    draw: Draw
    about: dict[str, Any]
    free: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1, 3)
    followed: nn.Module | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        return self.free or (BATCH, self.length.name)
