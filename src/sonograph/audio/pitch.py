"""F0 and energy of the frames of a `FeatureSpec`, in plain numpy.

F0 by autocorrelation after Boersma, "Accurate short-term analysis of the fundamental frequency and
the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993 (Praat's "ac" method):
the autocorrelation of a Hann-windowed frame is divided by that of the window, its peaks are
candidates beside "unvoiced", and a path of least cost chooses among them over the whole clip.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError

PERIODS = 3  # of the lowest F0 in one window
CANDIDATES = 15  # "unvoiced" among them
SILENCE = 0.03  # of the clip's peak: quieter frames tend to be unvoiced
VOICING = 0.45  # strength of "unvoiced"
OCTAVE_COST = 0.01  # an octave up costs so much less
JUMP_COST = 0.35  # an octave's jump, per 10 ms
VOICE_COST = 0.14  # voice on or off, per 10 ms
FINER = 4  # lags between samples: band-limited interpolation by so much
BLOCK = 512  # frames at a time


def f0_hz(
    waveform: Float[np.ndarray, " n"],
    spec: FeatureSpec,
    low_hz: float = 80.0,
    high_hz: float = 600.0,
) -> Float32[np.ndarray, " t"]:
    """F0 at the centre of every frame of `spec`, 0 where unvoiced.

    waveform: mono at spec.rate_hz. Raises InputError for a range that does not fit the rate.

    >>> from sonograph.audio.speech_features import voice_spec
    >>> time = np.arange(16000) / 16000
    >>> float(f0_hz(np.sin(2 * np.pi * 200 * time), voice_spec())[30].round(1))
    200.0
    """
    if not 0 < low_hz < high_hz <= spec.rate_hz / 2:
        raise InputError(f"F0 from {low_hz:g} to {high_hz:g} Hz does not fit {spec.rate_hz} Hz")
    count = spec.frames(len(waveform))
    peak = float(np.abs(waveform - waveform.mean()).max()) if len(waveform) else 0.0
    if count == 0 or peak == 0.0:
        return np.zeros(count, np.float32)
    centres = _centres(spec, count)
    pitches, strengths = zip(
        *(
            _candidates(waveform, centres[k : k + BLOCK], spec.rate_hz, low_hz, high_hz, peak)
            for k in range(0, count, BLOCK)
        )
    )
    hop_s = spec.hop_samples / spec.rate_hz
    return _cheapest(np.concatenate(pitches), np.concatenate(strengths), 0.01 / hop_s)


def energy(waveform: Float[np.ndarray, " n"], spec: FeatureSpec) -> Float32[np.ndarray, " t"]:
    """L2 norm of the magnitudes of each frame's spectrum, FastSpeech 2 (section 2.3).

    The frames are those of `spec`, mirrored at the ends, whatever it takes of their spectrum.
    """
    from sonograph.audio.stft import window_values

    count = spec.frames(len(waveform))
    if count == 0:
        return np.zeros(0, np.float32)
    size = spec.fft_samples
    window = np.zeros(size)
    first = (size - spec.window_samples) // 2
    values = np.asarray(window_values(spec.window, spec.window_samples), np.float64)
    window[first : first + spec.window_samples] = values
    start = _centres(spec, count) - size // 2
    out = np.empty(count, np.float32)
    for k in range(0, count, BLOCK):
        rows = start[k : k + BLOCK, None] + np.arange(size)
        frames = waveform[_mirrored(rows, len(waveform))] * window
        out[k : k + BLOCK] = np.sqrt((np.abs(np.fft.rfft(frames)) ** 2).sum(1))
    return out


def filled(f0: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Unvoiced frames on a straight line between their voiced neighbours; 0 if none is voiced."""
    voiced = np.flatnonzero(f0 > 0)
    if len(voiced) == 0:
        return f0.copy()
    return np.interp(np.arange(len(f0)), voiced, f0[voiced]).astype(f0.dtype)


def _centres(spec: FeatureSpec, count: int) -> np.ndarray:
    """The middle sample of each frame."""
    return np.arange(count) * spec.hop_samples + spec.frame_samples // 2 - spec.margin_samples


def _mirrored(places: np.ndarray, length: int) -> np.ndarray:
    """Indices outside a clip, mirrored at its ends into it."""
    period = max(2 * (length - 1), 1)
    places = places % period
    return np.minimum(places, period - places).clip(0, length - 1)


def _candidates(
    waveform: np.ndarray,
    centres: np.ndarray,
    rate_hz: int,
    low_hz: float,
    high_hz: float,
    peak: float,
) -> tuple[np.ndarray, np.ndarray]:
    """F0 and strength of each frame's candidates (t, CANDIDATES); the first is "unvoiced", 0 Hz."""
    width = 2 * (round(PERIODS * rate_hz / low_hz) // 2)
    rows = centres[:, None] - width // 2 + np.arange(width)
    inside = (rows >= 0) & (rows < len(waveform))
    frames = np.where(inside, waveform[rows.clip(0, len(waveform) - 1)], 0.0).astype(np.float64)
    frames = frames - frames.mean(1, keepdims=True)
    period = int(rate_hz / low_hz)  # the loudness is that of the middle of the window
    middle = frames[:, width // 2 - period // 2 : width // 2 + period // 2 + 1]
    loudness = np.abs(middle).max(1) / peak

    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(width) + 0.5) / width)
    size = 1 << (2 * width - 1).bit_length()
    lags = FINER * int(np.ceil(rate_hz / low_hz) + 2)
    own = _autocorrelation(window[None], size, lags)
    found = _autocorrelation(frames * window, size, lags)
    power = found[:, :1]
    strength = np.divide(found, power, out=np.zeros_like(found), where=power > 0) / (
        own / own[:, :1]
    )

    first = int(FINER * rate_hz / high_hz)
    at = strength[:, first - 1 :]
    before, here, after = at[:, :-2], at[:, 1:-1], at[:, 2:]
    bend = 2 * here - before - after
    top = (here > before) & (here >= after) & (here > 0.5 * VOICING) & (bend > 0)
    shift = np.divide(0.5 * (after - before), bend, out=np.zeros_like(bend), where=top)
    height = here + 0.25 * (after - before) * shift
    height = np.where(height > 1, 1 / np.maximum(height, 1e-9), height)  # Praat's mirror at 1
    pitch = FINER * rate_hz / (first + np.arange(here.shape[1]) + shift)
    top &= (pitch >= low_hz) & (pitch <= high_hz)
    value = np.where(top, height - OCTAVE_COST * np.log2(low_hz / pitch), -np.inf)

    kept = min(CANDIDATES - 1, value.shape[1])
    best = np.argpartition(-value, kept - 1, axis=1)[:, :kept]
    voiced = np.take_along_axis(value, best, 1)
    unvoiced = VOICING + np.maximum(0.0, 2 - loudness / (SILENCE / (1 + VOICING)))
    pitches = np.concatenate([np.zeros((len(centres), 1)), np.take_along_axis(pitch, best, 1)], 1)
    return pitches, np.concatenate([unvoiced[:, None], voiced], 1)


def _autocorrelation(frames: np.ndarray, size: int, lags: int) -> np.ndarray:
    """(t, lags) at lags of 1 / FINER samples: the power spectrum, back with zeros above it."""
    spectrum = np.fft.rfft(frames, size)
    power = spectrum.real**2 + spectrum.imag**2
    return np.fft.irfft(power, FINER * size)[:, :lags]


def _cheapest(
    pitch: np.ndarray, strength: np.ndarray, per_frame: float
) -> Float32[np.ndarray, " t"]:
    """The path that is strongest after what its changes cost. Boersma 1993, section 3."""
    count, size = pitch.shape
    octaves = np.log2(np.where(pitch > 0, pitch, 1.0))
    voiced = pitch > 0
    came = np.zeros((count, size), np.int64)
    best = strength[0].copy()
    for t in range(1, count):
        jump = JUMP_COST * np.abs(octaves[t - 1][:, None] - octaves[t])
        both = voiced[t - 1][:, None] & voiced[t]
        change = np.where(voiced[t - 1][:, None] != voiced[t], VOICE_COST, 0.0)
        through = best[:, None] - per_frame * np.where(both, jump, change)
        came[t] = through.argmax(0)
        best = through[came[t], np.arange(size)] + strength[t]
    path = np.empty(count, np.int64)
    path[-1] = best.argmax()
    for t in range(count - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return pitch[np.arange(count), path].astype(np.float32)
