"""Discrete diffusion: schedules, the way there, DDPM and DDIM steps back, progressive distillation.

Ho, Jain and Abbeel 2020 (DDPM); Nichol and Dhariwal 2021 (cosine); Song, Meng and Ermon 2021
(DDIM); Salimans and Ho 2022 (distillation, v); Huang et al. 2022 (ProDiff).

    x_t = a_t x_0 + s_t eps,  a_t = sqrt(abar_t),  s_t = sqrt(1 - abar_t),  abar_t = prod(1 - beta)

Time t is an index, 0 the first and least noisy one; t = -1 is clean: a = 1, s = 0. Times are whole
numbers or (b,) tensors of them, data (b, ...). What a network predicts (x_0, eps or v) is turned
into x_0 first; steps take x_0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from sonograph.errors import InputError

Time = int | Tensor


class Schedule:
    """How much noise there is at each time, in float64: `betas`, `signal` (a) and `noise` (s).

    signal and noise have one more entry, their last, for t = -1.

    >>> schedule = vpsde(5)
    >>> schedule.betas.round(decimals=4).tolist()
    [0.5587, 0.9105, 0.9819, 0.9963, 0.9993]
    >>> schedule.signal[:3].round(decimals=4).tolist()
    [0.6643, 0.1987, 0.0268]
    """

    def __init__(self, betas: Float64[Tensor, "steps"]):
        if betas.ndim != 1 or not len(betas) or not ((betas > 0) & (betas < 1)).all():
            raise InputError("betas of a diffusion lie between 0 and 1, at least one of them")
        self.betas = betas.double()
        kept = torch.cat([torch.cumprod(1 - self.betas, 0), torch.ones(1, dtype=torch.float64)])
        self.signal, self.noise = kept.sqrt(), (1 - kept).sqrt()

    @property
    def steps(self) -> int:
        return len(self.betas)

    def __repr__(self) -> str:
        return f"Schedule({self.steps} steps, {self.betas[0]:.3g} to {self.betas[-1]:.3g})"

    def times(self, count: int) -> list[int]:
        """So many times, evenly spread from the noisiest one down: those of a short DDIM run.

        >>> linear(1000).times(4)
        [999, 749, 499, 249]
        """
        if not 1 <= count <= self.steps:
            raise InputError(f"{count} of {self.steps} diffusion steps cannot be taken")
        return [self.steps - 1 - k * self.steps // count for k in range(count)]

    # -- there ----------------------------------------------------------------------------------

    def noised(self, x0: Tensor, t: Time, noise: Tensor) -> Tensor:
        """x_t. DDPM, equation 4."""
        return self._at(self.signal, t, x0) * x0 + self._at(self.noise, t, x0) * noise

    def velocity(self, x0: Tensor, t: Time, noise: Tensor) -> Tensor:
        """v = a eps - s x_0, what a network may predict instead. Salimans and Ho, appendix D."""
        return self._at(self.signal, t, x0) * noise - self._at(self.noise, t, x0) * x0

    # -- what a prediction says of x_0 ----------------------------------------------------------

    def clean_of_noise(self, x: Tensor, t: Time, noise: Tensor) -> Tensor:
        """x_0 by x_t and its noise."""
        return (x - self._at(self.noise, t, x) * noise) / self._at(self.signal, t, x)

    def clean_of_velocity(self, x: Tensor, t: Time, velocity: Tensor) -> Tensor:
        """x_0 by x_t and v."""
        return self._at(self.signal, t, x) * x - self._at(self.noise, t, x) * velocity

    def noise_of_clean(self, x: Tensor, t: Time, x0: Tensor) -> Tensor:
        """eps by x_t and x_0."""
        return (x - self._at(self.signal, t, x) * x0) / self._at(self.noise, t, x)

    # -- back -----------------------------------------------------------------------------------

    def posterior(self, x: Tensor, t: Time, x0: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_{t-1}, given x_t and x_0. DDPM, equations 6 and 7.

        The variance has the shape (b, 1, ..); at t = 0 it is 0.
        """
        before = t - 1
        if int(torch.as_tensor(t).min()) < 0:
            raise InputError(f"time {t} is clean already: nothing comes before it")
        beta = self._at(self.betas, t, x)
        now, then = (self._at(self.noise, k, x).square() for k in (t, before))
        of_clean = beta * self._at(self.signal, before, x) / now
        of_x = then * (1 - beta).sqrt() / now
        return of_clean * x0 + of_x * x, beta * then / now

    def ddpm_step(self, x: Tensor, t: Time, x0: Tensor, noise: Tensor) -> Tensor:
        """A draw of x_{t-1}; at t = 0 the noise counts nothing."""
        mean, variance = self.posterior(x, t, x0)
        return mean + variance.sqrt() * noise

    def ddim_step(
        self,
        x: Tensor,
        t: Time,
        x0: Tensor,
        to: Time,
        eta: float = 0.0,
        noise: Tensor | None = None,
    ) -> Tensor:
        """x at an earlier time `to`, -1 for the end, along the noise that x has now.

        DDIM, equations 12 and 16. eta: 0 for none of its noise drawn anew, 1 for as much as DDPM.
        """
        a, s = self._at(self.signal, to, x), self._at(self.noise, to, x)
        direction = self.noise_of_clean(x, t, x0)
        if eta == 0:
            return a * x0 + s * direction
        if noise is None:
            raise InputError(f"a DDIM step of eta {eta:g} draws noise: give it")
        now, ahead = self._at(self.noise, t, x), self._at(self.signal, t, x)
        fresh = eta * s / now * (1 - (ahead / a).square()).sqrt()
        return a * x0 + (s.square() - fresh.square()).sqrt() * direction + fresh * noise

    def distilled(self, x: Tensor, t: Time, later: Tensor, to: Time) -> Tensor:
        """The x_0 for which one DDIM step from x at t to `to` ends where a teacher's two ended.

        later: x at `to` by the teacher. Salimans and Ho, appendix G; ProDiff, section 4.3.
        """
        ratio = self._at(self.noise, to, x) / self._at(self.noise, t, x)
        a, ahead = self._at(self.signal, to, x), self._at(self.signal, t, x)
        return (later - ratio * x) / (a - ratio * ahead)

    def _at(self, values: Tensor, t: Time, like: Tensor) -> Tensor:
        """The value at each time, shaped to go with `like`."""
        times = torch.as_tensor(t)
        if int(times.min()) < -1 or int(times.max()) >= self.steps:
            raise InputError(f"time {t} lies outside of a diffusion of {self.steps} steps")
        found = values.to(like.device)[times.to(like.device)].to(like.dtype)
        return found.reshape(-1, *(1,) * (like.ndim - 1)) if found.ndim else found


# --- schedules -----------------------------------------------------------------------------------


def linear(steps: int, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """Betas on a straight line. DDPM, section 4."""
    return Schedule(torch.linspace(first, last, steps, dtype=torch.float64))


def cosine(steps: int, offset: float = 0.008, most: float = 0.999) -> Schedule:
    """abar falls as a squared cosine. Nichol and Dhariwal, equation 17."""
    at = torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = torch.cos((at + offset) / (1 + offset) * math.pi / 2).square()
    return Schedule((1 - kept[1:] / kept[:-1]).clamp(max=most))


def vpsde(steps: int, low: float = 0.1, high: float = 40.0) -> Schedule:
    """The variance-preserving equation in so many steps, as ProDiff has it: one more than it takes.

    beta_t = 1 - exp(-low / T - (high - low) (2 t - 1) / (2 T^2)), t = 1 .. T. Song et al. 2021.
    """
    t = torch.arange(1, steps + 1, dtype=torch.float64)
    return Schedule(1 - torch.exp(-low / steps - 0.5 * (high - low) * (2 * t - 1) / steps**2))


# --- whole runs ----------------------------------------------------------------------------------

Clean = Callable[[Tensor, int], Tensor]  # x_t and t to the x_0 that a network sees in it


def ddpm(
    clean: Clean, schedule: Schedule, x: Tensor, noises: Callable[[], Tensor], first: int = -1
) -> Tensor:
    """From noise x to data, one time after the other.

    noises: asked once before each step but the last. first: where to begin, -1 for the noisiest.
    """
    for t in range(schedule.steps - 1 if first < 0 else first, -1, -1):
        noise = noises() if t else torch.zeros_like(x)
        x = schedule.ddpm_step(x, t, clean(x, t), noise)
    return x


def ddim(clean: Clean, schedule: Schedule, x: Tensor, times: Sequence[int]) -> Tensor:
    """From noise x to data by way of `times`, which fall; nothing is drawn."""
    for t, to in zip(times, [*times[1:], -1], strict=True):
        if to >= t:
            raise InputError(f"times of a DDIM run fall: {list(times)}")
        x = schedule.ddim_step(x, t, clean(x, t), to)
    return x


def distillation_target(teacher: Clean, schedule: Schedule, x: Tensor, t: int, to: int) -> Tensor:
    """What a student learns to say of x at t: two steps of its teacher in one.

    The teacher goes by way of the time in the middle. Salimans and Ho, algorithm 2.
    """
    if (t - to) % 2 or t <= to:
        raise InputError(f"from {t} to {to} there is no middle for two steps of the teacher")
    middle = (t + to) // 2
    half = schedule.ddim_step(x, t, teacher(x, t), middle)
    return schedule.distilled(x, t, schedule.ddim_step(half, middle, teacher(half, middle), to), to)
