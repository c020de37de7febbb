"""Mel-frequency cepstral coefficients: the cosine transform of a log-mel spectrogram."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.table import Table


class Cosines(nn.Module):
    """The first rows of the orthonormal DCT-II over the bands.

    log_mel: (b, bands, frames) -> (b, coefficients, frames)
    """

    def __init__(self, bands: int, coefficients: int):
        super().__init__()
        self.rows = Table(cosine_rows(bands, coefficients))

    def forward(
        self, log_mel: Float[Tensor, "b bands frames"]
    ) -> Float[Tensor, "b coefficients frames"]:
        return self.rows.values @ log_mel


def cosine_rows(bands: int, coefficients: int) -> np.ndarray:
    """sqrt(2 / bands) cos(pi k (j + 1/2) / bands), the row k = 0 divided by sqrt(2)."""
    k, j = np.arange(coefficients)[:, None], np.arange(bands)
    rows = np.sqrt(2 / bands) * np.cos(np.pi * k * (j + 0.5) / bands)
    rows[0] /= np.sqrt(2)
    return rows
