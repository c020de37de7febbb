"""Mel-cepstral distortion: how far two spectral envelopes lie apart, in decibels.

Its values depend on how mel-cepstra are made, so flavours are never mixed. Ours, `FLAVOUR`: the
cepstrum of the log magnitudes of a Hann-windowed STFT (FFT 1024, hop 5 ms), warped by an all-pass
of first order (Oppenheim and Johnson 1972) to order 24; coefficients 1 to 24; path by DTW.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sonograph.errors import InputError
from sonograph.metrics.dtw import warp
from sonograph.outputs import Audio

FLAVOUR = "all-pass-warped STFT cepstrum, order 24, DTW"
ORDER, FFT, HOP_S = 24, 1024, 0.005
ALPHAS = {8000: 0.31, 16000: 0.41, 22050: 0.455, 24000: 0.466, 44100: 0.544, 48000: 0.554}


class Distortion(NamedTuple):
    """decibels: the mean over the path; path: pairs of frames (every 5 ms) of the two sounds."""

    decibels: float
    path: Int[np.ndarray, "steps 2"]


def mel_cepstra(audio: Audio) -> Float[np.ndarray, "frames 25"]:
    """Mel-cepstra c0 to c24 of a sound, a frame every 5 ms."""
    if audio.rate_hz not in ALPHAS:
        raise InputError(
            f"mel-cepstra have no warping for {audio.rate_hz} Hz: resample to one of "
            f"{', '.join(map(str, ALPHAS))}"
        )
    samples = audio.mono().samples[0].astype(np.float64)
    hop = round(HOP_S * audio.rate_hz)
    padded = np.pad(samples, (FFT // 2, FFT // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::hop]
    window = np.hanning(FFT + 1)[:-1]
    out = np.empty((len(frames), ORDER + 1))
    for begin in range(0, len(frames), 1024):  # long sounds in bounded memory
        spectrum = np.abs(np.fft.rfft(frames[begin : begin + 1024] * window))
        cepstrum = np.fft.irfft(np.log(np.maximum(spectrum, 1e-6)))[:, : FFT // 2]
        cepstrum[:, 1:] *= 2  # one-sided: log |X| = c0 + c1 cos w + c2 cos 2w ...
        out[begin : begin + 1024] = cepstrum @ warping(ALPHAS[audio.rate_hz]).T
    return out


def distortion(made: Audio, wanted: Audio) -> Distortion:
    """10 sqrt(2) / ln 10 times the mean distance of c1 to c24 over the path (Kubichek 1993)."""
    if made.rate_hz != wanted.rate_hz:
        raise InputError(f"sounds at {made.rate_hz} and {wanted.rate_hz} Hz: resample one of them")
    ours, theirs = mel_cepstra(made)[:, 1:], mel_cepstra(wanted)[:, 1:]
    square = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T
    distance = np.sqrt(np.maximum(square, 0))
    path = warp(distance)
    decibels = 10 * np.sqrt(2) / np.log(10) * distance[path[:, 0], path[:, 1]].mean()
    return Distortion(float(decibels), path)


@functools.cache
def warping(alpha: float) -> Float[np.ndarray, "25 512"]:
    """The matrix that takes a one-sided cepstrum to its all-pass-warped one.

    Column k is z^-k seen through the warping: the expansion of ((z^-1 - alpha) / (1 - alpha
    z^-1))^k, read off its values on the unit circle.
    """
    angle = 2 * np.pi * np.arange(16 * FFT) / (16 * FFT)
    # frequency on the warped axis -> frequency before: the inverse all-pass has -alpha
    z = np.exp(-1j * angle)
    before = (z + alpha) / (1 + alpha * z)
    columns = []
    power = np.ones_like(before)
    for _ in range(FFT // 2):
        column = np.fft.ifft(power.real)[: ORDER + 1].real.copy()  # of a cosine series
        column[1:] *= 2
        columns.append(column)
        power = power * before
    return np.stack(columns, axis=1)
