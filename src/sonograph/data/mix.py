"""Mixtures of real sounds: at a set signal-to-noise ratio, with gains, loops and crops.

Shapes: (samples,) or (channels, samples), numpy or torch floats; results are of the same kind.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch

from sonograph.errors import InputError

Sound = TypeVar("Sound", np.ndarray, torch.Tensor)


def power(sound: np.ndarray | torch.Tensor) -> float:
    """Mean square over all channels and samples, in double precision."""
    values = sound.detach().cpu().numpy() if isinstance(sound, torch.Tensor) else sound
    return float(np.mean(np.square(values, dtype=np.float64))) if values.size else 0.0


def gain(sound: Sound, db: float) -> Sound:
    """The sound made louder by `db` decibels (softer if negative)."""
    return sound * 10 ** (db / 20)


def at_snr(signal: Sound, noise: Sound, snr_db: float) -> tuple[Sound, Sound]:
    """The mixture, and the scaled noise in it, such that 10 log10(P_signal / P_noise) = snr_db.

    Powers are means over the whole of both sounds, which have the same shape; the signal is left
    as it is. Raises InputError when shapes differ or one of the two is silent.
    """
    if signal.shape != noise.shape:
        raise InputError(
            f"signal {tuple(signal.shape)} and noise {tuple(noise.shape)} differ: use fit()"
        )
    if not power(signal) > 0 or not power(noise) > 0:
        silent = "signal" if not power(signal) > 0 else "noise"
        raise InputError(f"the {silent} is silent: no signal-to-noise ratio can be set")
    scale = (power(signal) / power(noise) / 10 ** (snr_db / 10)) ** 0.5
    scaled = noise * scale
    return signal + scaled, scaled


def snr_db(signal: np.ndarray | torch.Tensor, noise: np.ndarray | torch.Tensor) -> float:
    """10 log10 of the ratio of mean powers; infinite without noise."""
    below = power(noise)
    return float(10 * np.log10(power(signal) / below)) if below > 0 else float("inf")


def fit(sound: Sound, samples: int, start: int = 0) -> Sound:
    """Exactly `samples` samples from `start` on, going round in a loop when the sound ends.

    >>> fit(np.array([1, 2, 3]), 5, start=2).tolist()
    [3, 1, 2, 3, 1]
    """
    length = sound.shape[-1]
    if length == 0:
        raise InputError("an empty sound cannot be looped")
    if isinstance(sound, torch.Tensor):
        return sound[..., (torch.arange(samples, device=sound.device) + start) % length]
    return sound[..., (np.arange(samples) + start) % length]


def with_headroom(sounds: list[Sound], peak: float = 0.99) -> list[Sound]:
    """The sounds scaled together so that none, and not their sum, goes beyond `peak`.

    Keeps every ratio between them; sounds that fit already come back unchanged.
    """
    total: Any = sounds[0]
    for sound in sounds[1:]:
        total = total + sound
    loudest = max(float(abs(one).max()) for one in [*sounds, total])
    return [sound * (peak / loudest) for sound in sounds] if loudest > peak else sounds


def coloured_noise(samples: int, slope: float, seed: int) -> np.ndarray:
    """Noise whose power falls as frequency ** slope (0 white, 1 pink, 2 brown), RMS 0.1.

    Nothing lies below a 2,000th of the rate, where a fall would end in a drift.
    """
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    place = np.arange(len(spectrum)) / samples
    shape = np.where(place < 1 / 2000, 0.0, np.maximum(place, 1e-9) ** (-slope / 2))
    sound = np.fft.irfft(spectrum * shape, samples)
    return (0.1 * sound / max(float(np.sqrt(np.mean(sound**2))), 1e-12)).astype(np.float32)
