"""How much fine structure a spectrogram has beside a recording's: what blurring takes away."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def detail(mel: Float[np.ndarray, "rows t"]) -> float:
    """Deviation of the Laplacian: how much fine structure there is, whatever its place."""
    inner = mel[1:-1, 1:-1]
    around = mel[:-2, 1:-1] + mel[2:, 1:-1] + mel[1:-1, :-2] + mel[1:-1, 2:]
    return float((around - 4 * inner).std())


def against(
    mel: Float[np.ndarray, "rows t"], real: Float[np.ndarray, "rows t"]
) -> dict[str, float]:
    """detail and variance by those of the recording, and the mean absolute error."""
    return {
        "error": float(np.abs(mel - real).mean()),
        "variance": float(mel.var(1).mean() / real.var(1).mean()),
        "detail": detail(mel) / detail(real),
    }
