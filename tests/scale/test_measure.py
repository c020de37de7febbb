"""What is measured of a sound, on made sounds whose measures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile

from sonograph.outputs import Audio
from sonograph.scale.measure import BLOCK_S, measure, sound_print

RATE = 16_000


def tone(hertz: float, seconds: float = 1.0, rate_hz: int = RATE, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz + phase)


def of(samples: np.ndarray, rate_hz: int = RATE):
    return measure(Audio(samples.astype(np.float32), rate_hz))


def test_a_tone_of_known_level() -> None:
    found = of(0.1 * tone(441))
    assert found.level_db == pytest.approx(-20 + 20 * math.log10(0.5**0.5), abs=0.02)
    assert found.true_peak_db == pytest.approx(-20, abs=0.05)
    assert (found.clipped, found.channels, found.duration_s) == (0.0, 1, 1.0)
    assert found.dc < 1e-4


def test_a_true_peak_lies_between_samples() -> None:
    """A quarter of the rate, sampled at 45 degrees: 3 dB above every sample."""
    samples = 0.5 * tone(RATE / 4, phase=np.pi / 4)
    assert np.abs(samples).max() == pytest.approx(0.5 * 0.5**0.5, abs=1e-6)
    assert of(samples * np.hanning(RATE)).true_peak_db == pytest.approx(-6.02, abs=0.1)


def test_silence_is_of_the_loudest_stretch_and_an_offset_is_no_sound() -> None:
    quiet = np.full(20 * RATE, 0.3)
    assert of(quiet).level_db == -200
    assert of(quiet).dc == pytest.approx(0.3, abs=1e-6)
    quiet[15 * RATE : 15 * RATE + RATE // 2] += 0.1 * tone(441, 0.5)
    assert of(quiet).level_db > -27
    assert of(np.zeros(8)).level_db == -200


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("coding", ["PCM_16", "FLOAT"])
def test_clipping_is_found_at_any_gain(tmp_path, gain: float, coding: str) -> None:
    loud = np.clip(1.5 * tone(200), -1, 1)
    share = float((np.abs(loud) == 1).mean())
    soundfile.write(tmp_path / "a.wav", gain * loud * 0.999, RATE, subtype=coding)
    assert measure(tmp_path / "a.wav").clipped == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize(
    "samples",
    [
        tone(20, rate_hz=48_000),  # flat crests without corners
        np.round(29_000 * tone(12, rate_hz=44_100)) / 32768,
        np.round(20_000 * tone(30, rate_hz=48_000)) / 32768,
        0.999 * tone(441),
        np.random.default_rng(0).uniform(-1, 1, RATE),
        np.abs(tone(3)) * np.random.default_rng(0).uniform(0, 1, RATE),
        np.repeat([0.0, 0.5, 0.0], [RATE, 1, RATE]),  # the rest between pulses is no top
        np.round(3 * tone(441)) / 32768,  # a few steps loud
        np.zeros(RATE),
    ],
    ids=["low", "lower", "bass", "loud", "noise", "rectified", "pulse", "steps", "nothing"],
)
def test_what_is_not_clipped(samples: np.ndarray) -> None:
    assert of(samples).clipped == 0


def test_blocks_do_not_matter() -> None:
    samples = np.clip(1.2 * tone(0.7, 2 * BLOCK_S + 1, 8000), -1, 1)
    samples[:: 8000 // 50] *= 0.5
    whole = of(samples, 8000)
    inside = np.flatnonzero(np.abs(samples) == 1)
    assert whole.clipped == pytest.approx(len(inside) / len(samples), rel=0.05)
    assert whole.duration_s == 2 * BLOCK_S + 1


def test_content_is_what_is_decoded(tmp_path) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, (3000, 2), np.int16)
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, samples, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "rate.wav", samples, 8000, subtype="PCM_16")
    soundfile.write(tmp_path / "mono.wav", samples.reshape(-1), RATE, subtype="PCM_16")
    sums = [measure(tmp_path / n).sha256 for n in ("a.wav", "a.flac", "rate.wav", "mono.wav")]
    assert sums[0] == sums[1]
    assert len(set(sums)) == 3


def test_a_print_knows_a_sound_at_another_gain_and_rate() -> None:
    noise = np.random.default_rng(0).standard_normal(3 * RATE) * np.abs(tone(0.9, 3))
    first = sound_print(Audio(0.1 * noise.astype(np.float32), RATE))
    again = sound_print(Audio(0.02 * noise.astype(np.float32), RATE).resample(22_050))
    other = sound_print(Audio(tone(700, 3).astype(np.float32), RATE))
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first @ again > 0.999
    assert first @ other < 0.5
    assert np.isfinite(sound_print(Audio(np.zeros((1, 3), np.float32), RATE))).all()
