"""Windows, and the short-time Fourier transform with an inverse that can be exported."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float64

Window = Literal["hann", "hann_symmetric", "povey", "hamming", "hamming_symmetric", "ones"]


def window_values(name: Window, samples: int) -> Float64[np.ndarray, "samples"]:
    """A window. Plain names are periodic (spectral analysis); Kaldi's are symmetric; povey =
    hann ** 0.85.
    """
    if samples == 1 or name == "ones":
        return np.ones(samples)
    symmetric = name in ("hann_symmetric", "hamming_symmetric", "povey")
    turn = 2 * np.pi * np.arange(samples) / (samples - 1 if symmetric else samples)
    if name.startswith("hamming"):
        return 0.54 - 0.46 * np.cos(turn)
    hann = np.sin(turn / 2) ** 2  # (1 - cos) / 2 without cancellation
    if symmetric:
        hann[-1] = 0  # sin(pi) is not quite 0 in floating point
    return hann**0.85 if name == "povey" else hann
