"""Flow matching: learn the velocity that carries noise to data, then follow it.

Lipman et al. 2023, "Flow Matching for Generative Modeling": the path of optimal transport, a
straight line from a noise x0 at t = 0 to a sample x1 at t = 1 that keeps a width of `sigma_min`.

Shapes: x0, x1 (b, ...), t (b,) in [0, 1]; a velocity is a function (x, t) -> like x, with t a
tensor without axes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.errors import InputError

Velocity = Callable[[Tensor, Tensor], Tensor]
Solver = Literal["euler", "midpoint", "heun"]
EVALUATIONS: dict[Solver, int] = {"euler": 1, "midpoint": 2, "heun": 2}  # of the velocity, a step


@dataclasses.dataclass(frozen=True)
class StraightPath:
    """x_t = (1 - (1 - sigma_min) t) x0 + t x1. Lipman et al., equations 20 to 23.

    >>> path = StraightPath(sigma_min=0.0)
    >>> x0, x1 = torch.zeros(1, 2), torch.ones(1, 2)
    >>> path.at(x0, x1, torch.tensor([0.25])), path.velocity(x0, x1)
    (tensor([[0.2500, 0.2500]]), tensor([[1., 1.]]))
    """

    sigma_min: float = 1e-4

    def at(
        self, x0: Float[Tensor, "b ..."], x1: Float[Tensor, "b ..."], t: Float[Tensor, "b"]
    ) -> Float[Tensor, "b ..."]:
        """Where the path is at time t."""
        t = t.reshape(-1, *[1] * (x0.ndim - 1))
        return (1 - (1 - self.sigma_min) * t) * x0 + t * x1

    def velocity(
        self, x0: Float[Tensor, "b ..."], x1: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b ..."]:
        """dx/dt, the same at every t."""
        return x1 - (1 - self.sigma_min) * x0


def velocity_loss(
    predicted: Float[Tensor, "..."],
    target: Float[Tensor, "..."],
    deviation: Tensor | float = 1.0,
    mask: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Mean of ((predicted - target) / deviation)^2, over what the mask (1 or true) keeps.

    deviation: of the noise, where that differs over time (PriorGrad, Lee et al. 2022, equation 6).
    deviation and mask broadcast against the two velocities.
    """
    squares = ((predicted - target) / deviation).square()
    if mask is None:
        return squares.mean()
    weight = mask.to(squares.dtype).expand_as(squares)
    return (squares * weight).sum() / weight.sum().clamp(min=1)


# --- time grids ----------------------------------------------------------------------------------


def linear_times(steps: int) -> Float[Tensor, "points"]:
    """steps + 1 points from 0 to 1 at equal distances."""
    if steps < 1:
        raise InputError(f"{steps} steps lead nowhere: give 1 or more")
    return torch.linspace(0, 1, steps + 1)


def sway_times(steps: int, coefficient: float = -1.0) -> Float[Tensor, "points"]:
    """t + c (cos(pi t / 2) - 1 + t): for c < 0 denser near the noise. Chen et al. 2024 (F5-TTS),
    section 3.3; c lies between -1 and 2 / (pi - 2), or times would run backwards.

    >>> sway_times(2)
    tensor([0.0000, 0.2929, 1.0000])
    """
    if not -1 <= coefficient <= 2 / (math.pi - 2):
        raise InputError(f"a sway of {coefficient} makes time run backwards: give -1 to 1.75")
    t = linear_times(steps)
    return t + coefficient * (torch.cos(math.pi / 2 * t) - 1 + t)


# --- solvers -------------------------------------------------------------------------------------


def euler_step(velocity: Velocity, x: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    """First order, one evaluation."""
    return x + dt * velocity(x, t)


def midpoint_step(velocity: Velocity, x: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    """Second order: the velocity halfway."""
    half = x + dt / 2 * velocity(x, t)
    return x + dt * velocity(half, t + dt / 2)


def heun_step(velocity: Velocity, x: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    """Second order: the mean of the velocities at both ends."""
    first = velocity(x, t)
    return x + dt / 2 * (first + velocity(x + dt * first, t + dt))


STEPS: dict[Solver, Callable[[Velocity, Tensor, Tensor, Tensor], Tensor]] = {
    "euler": euler_step,
    "midpoint": midpoint_step,
    "heun": heun_step,
}


def solve(
    velocity: Velocity, x: Tensor, times: Float[Tensor, "points"], solver: Solver = "euler"
) -> Tensor:
    """Follow a velocity from x at the first time to the last, one step between neighbours.

    Gradients flow through every step.
    """
    step, times = STEPS[solver], times.to(x)
    for t, after in itertools.pairwise(times):
        x = step(velocity, x, t, after - t)
    return x
