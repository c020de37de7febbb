"""State spaces with a diagonal matrix (S4D): a long convolution whose kernel has a formula.

Gu, Gupta, Goel and Re, "On the Parameterization and Initialization of Diagonal State Space
Models", NeurIPS 2022. Each channel has N / 2 complex states, x' = A x + B u, y = 2 Re(C x), made
discrete with a step of its own; its answer to a single 1 is the kernel K, and y = K * u by FFT.

Shapes: b clips, l tokens, d channels, n = N / 2 states, g groups of channels that share A and B.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

Discretise = Literal["zoh", "bilinear"]
Start = Literal["linear", "legs"]
Sees = Literal["both", "past"]

# of A, B and the steps: weight decay leaves them alone, and their rate is lower; official code
KERNEL_WEIGHTS = ("*.log_step", "*.log_decay", "*.frequency", "*.into", "*.low_rank")


def frequencies(states: int, start: Start) -> np.ndarray:
    """Imaginary parts of A at the start, (states / 2,).

    "linear": pi n (S4D-Lin). "legs": those of HiPPO-LegS, whose normal part is -1/2 plus a
    skew-symmetric matrix (Gu et al. 2022, S4, theorem 1).

    >>> frequencies(8, "linear").round(2).tolist(), frequencies(8, "legs").round(2).tolist()
    ([0.0, 3.14, 6.28, 9.42], [0.43, 1.96, 5.35, 19.86])
    """
    if start == "linear":
        return math.pi * np.arange(states // 2)
    root = np.sqrt(np.arange(states) + 0.5)
    skew = np.triu(np.outer(root, root), 1)
    return np.linalg.eigvalsh(1j * (skew - skew.T))[states // 2 :]


class DiagonalKernel(nn.Module):
    """The kernels of d channels: length -> (directions, d, length), float32.

    discretise: "zoh", A' = exp(step A), B' = (A' - 1) / A B; "bilinear", A' = (1 + step A / 2) /
    (1 - step A / 2), B' = step / (1 - step A / 2) B. Then K[l] = 2 Re sum over n of C B' A'^l.
    source: "ones" (B is 1) or "learned". Channel c is of group c mod groups.
    """

    def __init__(
        self,
        channels: int,
        states: int = 64,
        groups: int = 0,  # 0: one for each channel
        directions: int = 1,
        discretise: Discretise = "zoh",
        source: Literal["ones", "learned"] = "ones",
        start: Start = "linear",
        steps: tuple[float, float] = (1e-3, 0.1),
    ):
        super().__init__()
        groups = groups or channels
        if channels % groups:
            raise ValueError(f"{channels} channels do not make {groups} groups")
        self.discretise, self.copies = discretise, channels // groups
        low, high = (math.log(step) for step in steps)
        imaginary = torch.as_tensor(frequencies(states, start)).float()
        half = states // 2
        self.log_step = nn.Parameter(torch.empty(channels).uniform_(low, high))
        self.log_decay = nn.Parameter(torch.full((groups, half), math.log(0.5)))
        self.frequency = nn.Parameter(imaginary.repeat(groups, 1).to(self.log_decay.device))
        # real and imaginary parts side by side; E |C|^2 = 1
        self.out = nn.Parameter(torch.randn(directions, channels, half, 2) * 0.5**0.5)
        self.into: nn.Parameter | None = None
        if source == "learned":
            self.into = nn.Parameter(torch.stack([torch.ones(groups, half)] * 2, -1))
            with torch.no_grad():
                self.into[..., 1] = 0.0

    def forward(self, length: int) -> Float[Tensor, "directions d length"]:
        # Powers of A' turn thousands of times: their angles are float64, of few numbers.
        step = self.log_step.double().exp()[:, None]
        A = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        A = A.repeat(self.copies, 1)
        weight = torch.view_as_complex(self.out.double())
        if self.into is not None:
            weight = weight * torch.view_as_complex(self.into.double()).repeat(self.copies, 1)
        if self.discretise == "zoh":
            log_power = step * A
            weight = weight * torch.expm1(log_power) / A
        else:
            log_power = torch.log((1 + step * A / 2) / (1 - step * A / 2))
            weight = weight * step / (1 - step * A / 2)
        # A'^(p s + q) = A'^(p s) A'^q: one matrix product for each channel, of memory d n sqrt(l)
        size = max(1, math.isqrt(length))
        count = -(-length // size)
        near = torch.arange(size, device=A.device, dtype=torch.float64)
        far = torch.arange(count, device=A.device, dtype=torch.float64) * size
        small = torch.exp(log_power[..., None] * near)  # (d, n, size)
        large = weight[:, :, None] * torch.exp(log_power[:, None] * far[:, None])  # (s, d, p, n)
        parts = torch.cat([large.real, -large.imag], -1).float()
        with torch.autocast(parts.device.type, enabled=False):
            kernel = 2 * parts @ torch.cat([small.real, small.imag], 1).float()
        return kernel.flatten(2)[..., :length]


def convolved(
    u: Float[Tensor, "b d l"], kernel: Float[Tensor, "directions d l"]
) -> Float[Tensor, "b d l"]:
    """y[t] = sum over s <= t of K0[t - s] u[s], and over s > t of K1[s - t - 1] u[s] if there is a
    second direction. By FFT of twice the length, so that nothing comes around; float32.
    """
    length = u.shape[-1]
    whole = F.pad(kernel[0], (0, length))
    if len(kernel) == 2:
        whole = whole + F.pad(kernel[1].flip(-1), (length, 0))
    n = 2 * length
    product = torch.fft.rfft(u.float(), n=n) * torch.fft.rfft(whole.float(), n=n)
    return torch.fft.irfft(product, n=n)[..., :length]


class StateSpace(nn.Module):
    """A layer of state spaces: convolution, skip, GELU, dropout, a gated linear map.

    (b, l, d) -> the same. kernel: length -> (directions, d, length), of one direction or, with a
    second kernel over what comes later, both. `mask` marks the tokens of each clip; others neither
    see nor change anything.
    """

    def __init__(self, width: int, kernel: nn.Module, dropout: float = 0.0):
        super().__init__()
        self.kernel = kernel
        self.skip = nn.Parameter(torch.randn(width))
        self.drop = nn.Dropout1d(dropout)  # of a channel over the whole sequence, as published
        self.mix = nn.Linear(width, 2 * width)

    def forward(
        self, x: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None = None
    ) -> Float[Tensor, "b l d"]:
        if mask is not None:
            x = x * mask[..., None]
        with torch.autocast(x.device.type, enabled=False):
            u = x.float().transpose(1, 2)
            y = convolved(u, self.kernel(x.shape[1])) + u * self.skip[:, None].float()
            y = self.drop(F.gelu(y)).transpose(1, 2)
        return F.glu(self.mix(y.to(x.dtype)), dim=-1)


def diagonal_space(
    width: int,
    states: int = 64,
    groups: int = 0,
    sees: Sees = "past",
    discretise: Discretise = "zoh",
    source: Literal["ones", "learned"] = "ones",
    start: Start = "linear",
    steps: tuple[float, float] = (1e-3, 0.1),
    dropout: float = 0.0,
) -> StateSpace:
    """An S4D layer.

    As it stands, the standalone layer: one direction, zero-order hold, A of each channel, B one.
    The configurable one of the official experiments has discretise="bilinear", source="learned",
    few groups and sees="both".

    >>> diagonal_space(8, states=4)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """
    directions = 2 if sees == "both" else 1
    kernel = DiagonalKernel(width, states, groups, directions, discretise, source, start, steps)
    return StateSpace(width, kernel, dropout)
