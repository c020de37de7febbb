"""Measures of speech: by hand, by properties, and beside the packages they come from."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.metrics.cepstral import ALPHAS, distortion, mel_cepstra, warping
from sonograph.metrics.dtw import warp
from sonograph.metrics.opinion import dnsmos, pesq, stoi
from sonograph.metrics.prosody import duration_error, pitch_error, pitch_moments
from sonograph.metrics.verification import equal_error_rate
from sonograph.metrics.words import edits, slips, word_error_rate
from sonograph.outputs import Audio

draw = np.random.default_rng(0)


def noise(seconds: float = 1.0, rate_hz: int = 16000, seed: int = 0) -> Audio:
    samples = 0.1 * np.random.default_rng(seed).standard_normal((1, int(seconds * rate_hz)))
    return Audio(samples.astype(np.float32), rate_hz)


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def cheapest(cost: np.ndarray) -> float:
    """By trying every path."""
    n, m = cost.shape
    if (n, m) == (1, 1):
        return cost[0, 0]
    ways = [(n - 1, m - 1), (n - 1, m), (n, m - 1)]
    return cost[-1, -1] + min(cheapest(cost[:a, :b]) for a, b in ways if a and b)


def test_the_path_is_the_cheapest():
    for n, m in itertools.product((1, 2, 4, 5), (1, 3, 5)):
        cost = draw.random((n, m))
        path = warp(cost)
        assert path[0].tolist() == [0, 0]
        assert path[-1].tolist() == [n - 1, m - 1]
        assert set(map(tuple, np.diff(path, axis=0))) <= {(0, 1), (1, 0), (1, 1)}
        assert np.isclose(cost[path[:, 0], path[:, 1]].sum(), cheapest(cost))


def test_warping_moves_a_cosine_to_where_the_all_pass_says():
    alpha, warped = ALPHAS[16000], np.linspace(0, np.pi, 200)
    z = np.exp(-1j * warped)
    before = -np.angle((z + alpha) / (1 + alpha * z))
    for k in (1, 3):  # low orders: 25 coefficients hold them
        column = warping(alpha)[:, k]
        np.testing.assert_allclose(
            np.cos(np.arange(25) * warped[:, None]) @ column, np.cos(k * before), atol=2e-3
        )


def test_distortion_is_zero_of_itself_ignores_gain_and_grows_with_a_filter():
    sound = noise()
    assert distortion(sound, sound).decibels < 1e-6
    louder = Audio(2 * sound.samples, 16000)
    assert distortion(louder, sound).decibels < 0.01
    rough = Audio(sound.samples + 0.9 * np.roll(sound.samples, 1), 16000)
    rougher = Audio(rough.samples + 0.9 * np.roll(rough.samples, 1), 16000)
    near, far = (distortion(one, sound).decibels for one in (rough, rougher))
    assert 2 < near < far
    assert mel_cepstra(sound).shape == (1 + 16000 // 80, 25)
    with pytest.raises(InputError, match="no warping for 12345 Hz"):
        mel_cepstra(noise(0.1, 12345))
    with pytest.raises(InputError, match="resample one"):
        distortion(noise(), noise(1, 8000))


def test_edits_name_what_happened():
    found = edits(["a", "b", "c", "d"], ["a", "c", "x", "d", "d"])
    assert (found.total, found.substituted, found.deleted) == (3, 0, 1)
    assert edits([], ["a"]).inserted == 1
    assert word_error_rate(["One, two!", "three"], ["one too", "three"]) == pytest.approx(1 / 3)
    assert slips(["one", "two", "three"], ["one", "one", "one", "two", "three"]) == (0, 2)
    assert slips(["one", "two", "three"], ["three"]) == (2, 0)
    with pytest.raises(InputError, match="no words"):
        word_error_rate(["..."], ["a"])
    with pytest.raises(InputError, match="one for each"):
        word_error_rate(["a"], [])


def test_pitch_and_durations():
    path = np.stack((np.arange(4), np.arange(4)), 1)
    ours, theirs = np.array([100.0, 110, 0, 120]), np.array([100.0, 110, 130, 0])
    error = pitch_error(ours, theirs, path)
    assert error.cents == 0
    assert error.voicing == 0.5
    assert np.isnan(error.correlation)
    assert pitch_error(2 * ours, theirs, path).cents == pytest.approx(1200)
    moments = pitch_moments(np.concatenate((draw.normal(200, 20, 100_000), np.zeros(9))))
    assert moments.deviation == pytest.approx(20, rel=0.02)
    assert abs(moments.skewness) < 0.05
    assert abs(moments.kurtosis) < 0.05
    with pytest.raises(InputError, match="0 voiced frames"):
        pitch_moments(np.zeros(5))
    assert duration_error(np.array([3.0, 5]), np.array([4.0, 5]), 0.016) == pytest.approx(8)


def test_equal_error_rate_by_hand_and_of_overlapping_bells():
    rate, _ = equal_error_rate(np.array([4.0, 3, 2, 1]), np.array([True, False, True, False]))
    assert rate == pytest.approx(0.5)
    apart = np.concatenate((draw.normal(1, 1, 20_000), draw.normal(-1, 1, 20_000)))
    same = np.arange(40_000) < 20_000
    assert equal_error_rate(apart, same)[0] == pytest.approx(0.1587, abs=0.005)
    assert equal_error_rate(np.ones(4), np.array([True, False, True, False]))[0] == 0.5
    with pytest.raises(InputError, match="of the same and of different"):
        equal_error_rate(np.ones(2), np.array([True, True]))


@needs("speechmos", "onnxruntime", "librosa", "requests", "tqdm")
@pytest.mark.parametrize("seconds", [2.0, pytest.param(11.5, marks=pytest.mark.slow)])
def test_dnsmos_is_the_packages(seconds):
    from speechmos import dnsmos as package

    sound = noise(seconds)
    theirs = package.run(sound.samples[0], 16000)
    ours = dnsmos(sound)
    np.testing.assert_allclose(
        ours, [theirs["sig_mos"], theirs["bak_mos"], theirs["ovrl_mos"]], atol=1e-4
    )


@needs("pesq", "pystoi")
def test_standards_rank_noise_and_refuse_other_timing():
    time = np.arange(3 * 16000) / 16000
    voice = np.sin(2 * np.pi * 150 * time) * (np.sin(2 * np.pi * 3 * time) > 0) * 0.3
    clean = Audio(sum(voice**k for k in (1, 3, 5))[None].astype(np.float32), 16000)
    noisy = Audio(clean.samples + 0.5 * noise(3.0).samples, 16000)
    before = clean.samples.copy()
    assert pesq(clean, clean) > 4.5 > 2 > pesq(noisy, clean)
    assert stoi(clean, clean) > 0.99 > 0.9 > stoi(noisy, clean)
    np.testing.assert_array_equal(clean.samples, before)
    with pytest.raises(InputError, match="same timing"):
        pesq(noise(1.0), noise(2.0))
