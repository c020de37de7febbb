from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sonograph.data import conditions
from sonograph.data.clips import Clip, Clips


def test_a_shift_changes_the_sound_and_not_its_length(tmp_path):
    sound = 0.4 * np.sin(np.arange(16_000) * 2 * np.pi * 6000 / 16_000).astype(np.float32)
    sound += 0.4 * np.sin(np.arange(16_000) * 2 * np.pi * 500 / 16_000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 16_000)
    clip = Clip("a", tmp_path / "a.wav", 1.0, 16_000, labels={"x": "y"})
    made = conditions.shifted(Clips([clip]), tmp_path / "heard", 16_000, conditions.telephone)
    heard = made[0].read(16_000)
    assert heard.shape == sound.shape
    assert made[0].labels == {"x": "y"}
    power = np.abs(np.fft.rfft(heard)) ** 2
    assert power[5900:6100].sum() < 0.01 * power[400:600].sum()  # 8 kHz knows nothing above 4 kHz
    first = (tmp_path / "heard" / "0.flac").stat().st_mtime_ns
    conditions.shifted(Clips([clip]), tmp_path / "heard", 16_000, conditions.telephone)
    assert (tmp_path / "heard" / "0.flac").stat().st_mtime_ns == first


def test_surroundings_lie_ten_decibels_below(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 48_000)
    soundfile.write(tmp_path / "rain.wav", noise, 16_000)
    rain = Clip("rain", tmp_path / "rain.wav", 3.0, 16_000, source="minetest")
    change = conditions.Surroundings(Clips([rain]), 16_000)
    sound = np.sin(np.arange(8000) / 10).astype(np.float32)
    added = change(sound, 16_000, Clip("a", tmp_path / "a.wav", 0.5, 16_000)) - sound
    ratio = 10 * np.log10(np.mean(sound**2) / np.mean(added**2))
    assert ratio == pytest.approx(10, abs=0.1)
