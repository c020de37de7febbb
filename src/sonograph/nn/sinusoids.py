"""Fixed sinusoidal positions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def sinusoids(places: int, width: int) -> Float64[np.ndarray, "places width"]:
    """sin and cos in turns of place / 10000^(2 floor(j / 2) / width). Vaswani et al. 2017, 3.5.

    >>> sinusoids(2, 4).round(2).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]
    """
    j = np.arange(width)
    angle = np.arange(places)[:, None] / 10000 ** (2 * (j // 2) / width)
    return np.where(j % 2 == 0, np.sin(angle), np.cos(angle))
