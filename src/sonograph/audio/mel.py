"""Mel scales and mel filter banks: HTK, Slaney (with and without area norm) and Kaldi; and log-mel.

Sources: HTK book 5.4 (mel = 2595 log10(1 + f/700)); M. Slaney, Auditory Toolbox (1998): linear
below 1 kHz, logarithmic above; Kaldi's mel-computations (mel = 1127 ln(1 + f/700), triangles
linear in mel, not in hertz). "htk_float32" is HTK's in single precision, step by step as torchaudio
makes it: weights differ by up to 1e-5, which is what models that learned from it were given.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float64

MelScale = Literal["htk", "htk_float32", "slaney", "kaldi"]
MelNorm = Literal["none", "slaney"]

_SLANEY_HZ = 200 / 3  # hertz a mel below 1 kHz
_SLANEY_STEP = np.log(6.4) / 27  # log ratio a mel above


def hz_to_mel(hz: np.ndarray | float, scale: MelScale) -> np.ndarray:
    """Frequencies in hertz as mels."""
    hz = np.asarray(hz, np.float64)
    if scale in ("htk", "htk_float32"):
        return 2595 * np.log10(1 + hz / 700)
    if scale == "kaldi":
        return 1127 * np.log1p(hz / 700)
    high = 15 + np.log(np.maximum(hz, 1000) / 1000) / _SLANEY_STEP
    return np.where(hz < 1000, hz / _SLANEY_HZ, high)


def mel_to_hz(mel: np.ndarray | float, scale: MelScale) -> np.ndarray:
    """Mels as frequencies in hertz."""
    mel = np.asarray(mel, np.float64)
    if scale in ("htk", "htk_float32"):
        return 700 * (10 ** (mel / 2595) - 1)
    if scale == "kaldi":
        return 700 * np.expm1(mel / 1127)
    return np.where(
        mel < 15, mel * _SLANEY_HZ, 1000 * np.exp((np.maximum(mel, 15) - 15) * _SLANEY_STEP)
    )


def mel_bank(
    bins: int,
    fft_samples: int,
    rate_hz: int,
    low_hz: float,
    high_hz: float,
    scale: MelScale,
    norm: MelNorm = "none",
) -> Float64[np.ndarray, "bins fft_bins"]:
    """Triangular filters over the fft_samples // 2 + 1 bins of a real FFT, peak 1 before the norm.

    Edges are equally spaced in mel. HTK and Slaney triangles are linear in hertz, Kaldi's in mel,
    and Kaldi gives the Nyquist bin no weight. `slaney` norm divides each filter by half its width
    in hertz, so that all have area 1. Narrow filters may hold no FFT bin at all (Kaldi, 128 bins,
    16 kHz, 512 points: row 3); they stay zero.
    """
    grid_hz = np.arange(fft_samples // 2 + 1) * (rate_hz / fft_samples)
    edges_mel = np.linspace(hz_to_mel(low_hz, scale), hz_to_mel(high_hz, scale), bins + 2)
    if scale == "kaldi":
        edges, grid = edges_mel, hz_to_mel(grid_hz, scale)
    elif scale == "htk_float32":
        edges, grid = _single_edges(bins, low_hz, high_hz), grid_hz.astype(np.float32)
    else:
        edges, grid = mel_to_hz(edges_mel, scale), grid_hz
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (grid - left) / (centre - left)
    falling = (right - grid) / (right - centre)
    bank = np.maximum(0, np.minimum(rising, falling)).astype(np.float64)
    if scale == "kaldi":
        bank[:, fft_samples // 2] = 0
    if norm == "slaney":
        edges_hz = mel_to_hz(edges_mel, scale)
        bank *= (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return bank


def _single_edges(bins: int, low_hz: float, high_hz: float) -> np.ndarray:
    """HTK's edges in hertz, every step rounded to single precision by torch, whose powers differ
    from numpy's in the last digit.
    """
    import torch

    low, high = (float(hz_to_mel(hz, "htk")) for hz in (low_hz, high_hz))
    mels = torch.linspace(low, high, bins + 2, dtype=torch.float32)
    return (700 * (10 ** (mels / 2595) - 1)).numpy()
