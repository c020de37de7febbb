"""Melody and rhythm of speech: F0 on a path, its moments, durations. F0 is in Hz, 0 = unvoiced."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sonograph.errors import InputError


class PitchError(NamedTuple):
    """cents: RMS over frames that both say are voiced (NaN if none); voicing: share of frames in
    which they disagree; correlation: of log F0 where both are voiced.
    """

    cents: float
    voicing: float
    correlation: float


def pitch_error(
    made_hz: Float[np.ndarray, "n"], wanted_hz: Float[np.ndarray, "m"], path: Int[np.ndarray, "s 2"]
) -> PitchError:
    """Compare two F0 curves along a path of pairs of frames.

    >>> pitch_error(np.array([100.0, 0, 200]), np.array([200.0, 0, 0]), np.array([[0, 0], [2, 2]]))
    PitchError(cents=1200.0, voicing=0.5, correlation=nan)
    """
    ours, theirs = made_hz[path[:, 0]], wanted_hz[path[:, 1]]
    both = (ours > 0) & (theirs > 0)
    voicing = float(((ours > 0) != (theirs > 0)).mean())
    if not both.any():
        return PitchError(float("nan"), voicing, float("nan"))
    cents = 1200 * np.log2(ours[both] / theirs[both])
    correlation = float("nan")
    if both.sum() > 2 and ours[both].std() > 0 and theirs[both].std() > 0:
        correlation = float(np.corrcoef(np.log(ours[both]), np.log(theirs[both]))[0, 1])
    return PitchError(float(np.sqrt((cents**2).mean())), voicing, correlation)


class Moments(NamedTuple):
    """Standard deviation (Hz), skewness and kurtosis of voiced F0 (PortaSpeech, section 4.2)."""

    deviation: float
    skewness: float
    kurtosis: float


def pitch_moments(pitch_hz: Float[np.ndarray, "n"]) -> Moments:
    """Moments of the voiced frames. Raises InputError where fewer than three are voiced."""
    voiced = pitch_hz[pitch_hz > 0]
    if len(voiced) < 3 or voiced.std() == 0:
        raise InputError(f"{len(voiced)} voiced frames have no moments of pitch")
    z = (voiced - voiced.mean()) / voiced.std()
    return Moments(float(voiced.std()), float((z**3).mean()), float((z**4).mean() - 3))


def duration_error(
    made: Float[np.ndarray, "n"], wanted: Float[np.ndarray, "n"], frame_s: float
) -> float:
    """Mean absolute difference of durations (frames) of the same units, in milliseconds."""
    if made.shape != wanted.shape or not len(made):
        raise InputError(f"durations of {made.shape} and {wanted.shape} units cannot be compared")
    return float(np.abs(made - wanted).mean() * frame_s * 1000)
