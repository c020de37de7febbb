"""A contour of pitch as ten wavelets, slow and fast movements apart, and back.

The continuous transform by the Mexican hat at scales of 2, 4, .. 1024 frames (Torrence and Compo
1998, table 1, derivative of order 2), from whose rows a contour is put together again as FastSpeech
2 has it (Ren et al. 2021, appendix D, after Suni et al. 2013):

    W_i(t) = sum_u x(u) psi((u - t) / s_i) / sqrt(s_i),    s_i = 2^i,  i = 1 .. 10
    psi(p) = 2 / (sqrt(3) pi^(1/4)) (1 - p^2) exp(-p^2 / 2)
    x(t) ~ sum_i W_i(t) (i + 2.5)^(-5/2),    brought to mean 0 and deviation 1

The sum gives a contour's shape and not its size, so that mean and deviation travel beside it. What
lies beyond the ends of a contour is 0.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SCALES = 10
Compat = Literal["none", "published"]


def wavelets(x: Float[Tensor, " t"], compat: Compat = "none") -> Float[Tensor, "t scales"]:
    """The transform of a contour of mean 0 and deviation 1.

    compat: "published" (NATSpeech, through pycwt) fills up with zeros to a power of two, around
    whose ends the slow wavelets reach, so that one frame more may change all of them.

    >>> wavelets(torch.tensor([-1.0, 1.0, -1.0, 1.0])).shape
    torch.Size([4, 10])
    """
    t = len(x)
    scale = 2.0 ** torch.arange(1, SCALES + 1, dtype=x.dtype, device=x.device)
    if compat == "published":
        n = 2 ** math.ceil(math.log2(t))
        frequency = 2 * math.pi * torch.fft.fftfreq(n, dtype=x.dtype, device=x.device)
        place = frequency[:, None] * scale
        response = place.square() * (-place.square() / 2).exp() / math.sqrt(math.gamma(2.5))
        response = response * (2 * math.pi * scale).sqrt()
        return torch.fft.ifft(torch.fft.fft(x, n)[:, None] * response, dim=0).real[:t]
    lag = torch.arange(1 - t, t, dtype=x.dtype, device=x.device)
    place = (lag[:, None] / scale).square()
    hat = 2 / (math.sqrt(3) * math.pi**0.25) * (1 - place) * (-place / 2).exp() / scale.sqrt()
    n = 4 * t  # room for all of contour and hats: nothing comes round
    both = torch.fft.rfft(x, n)[:, None] * torch.fft.rfft(hat, n, dim=0)
    return torch.fft.irfft(both, n, dim=0)[t - 1 : 2 * t - 1]


def contour(
    rows: Float[Tensor, "b t scales"],
    mask: Bool[Tensor, "b t"] | None = None,
    compat: Compat = "none",
) -> Float[Tensor, "b t"]:
    """The contour of mean 0 and deviation 1 whose wavelets these are, nearly.

    It is 0 where `mask` is not. compat: "published" takes mean and deviation over the padding too,
    the latter of a sample.
    """
    place = torch.arange(1, SCALES + 1, dtype=rows.dtype, device=rows.device)
    x = rows @ (place + 2.5) ** -2.5
    if compat == "published":
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    inside = torch.ones_like(x) if mask is None else mask.to(x.dtype)
    count = inside.sum(1, keepdim=True)
    x = (x - (x * inside).sum(1, keepdim=True) / count) * inside
    return x / (x.square().sum(1, keepdim=True) / count + 1e-12).sqrt()
