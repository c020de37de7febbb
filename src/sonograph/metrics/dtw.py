"""Dynamic time warping: the cheapest way to walk through two sequences together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from sonograph.errors import InputError


def warp(cost: Float[np.ndarray, "n m"]) -> Int[np.ndarray, "steps 2"]:
    """The path of least summed cost from (0, 0) to (n - 1, m - 1), each step one on in either
    sequence or in both (Sakoe and Chiba 1978, symmetric form without slope limit or weights).

    Cells are filled a diagonal at a time. Of equal ways the step in both is taken.

    >>> warp(np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])).tolist()
    [[0, 0], [1, 1], [1, 2]]
    """
    n, m = cost.shape
    if n == 0 or m == 0:
        raise InputError(f"sequences of {n} and {m} frames cannot be warped onto each other")
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(n + m - 1):
        i = np.arange(max(0, diagonal - m + 1), min(n, diagonal + 1))
        j = diagonal - i
        before = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = cost[i, j] + before
    i, j = n, m
    path = []
    while True:
        path.append((i - 1, j - 1))
        if (i, j) == (1, 1):
            return np.array(path[::-1])
        options = (total[i - 1, j - 1], total[i - 1, j], total[i, j - 1])
        step = int(np.argmin(options))
        i, j = i - (step != 2), j - (step != 1)
