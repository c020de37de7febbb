"""Mixing: ratios are exact, loops and crops give the very samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sonograph.data.mix import (
    at_snr,
    coloured_noise,
    fit,
    gain,
    power,
    snr_db,
    with_headroom,
)
from sonograph.errors import InputError


@given(
    st.floats(-40, 60),
    st.floats(1e-3, 1e2),
    st.integers(1, 400),
    st.sampled_from(["numpy", "torch"]),
    st.integers(0, 99),
)
def test_a_mixture_has_exactly_the_ratio_asked_for(db, level, samples, kind, seed):
    random = np.random.default_rng(seed)
    signal, noise = random.standard_normal((2, 2, samples)) * [[[1.0]], [[level]]]
    if kind == "torch":
        signal, noise = torch.from_numpy(signal), torch.from_numpy(noise)
    mixture, scaled = at_snr(signal, noise, db)
    assert type(mixture) is type(signal)
    assert snr_db(signal, scaled) == pytest.approx(db, abs=1e-9)
    assert np.allclose(mixture - scaled, signal)


def test_float32_mixtures_are_exact_to_a_thousandth_of_a_decibel():
    random = np.random.default_rng(0)
    signal, noise = random.standard_normal((2, 160_000)).astype(np.float32)
    mixture, _ = at_snr(signal, noise, -7.5)
    assert mixture.dtype == np.float32
    assert snr_db(signal, mixture - signal) == pytest.approx(-7.5, abs=1e-3)


def test_silence_and_other_shapes_are_refused():
    sound, silence = np.ones(4), np.zeros(4)
    with pytest.raises(InputError, match="noise is silent"):
        at_snr(sound, silence, 0)
    with pytest.raises(InputError, match="signal is silent"):
        at_snr(silence, sound, 0)
    with pytest.raises(InputError, match="fit"):
        at_snr(sound, np.ones(5), 0)
    assert snr_db(sound, silence) == float("inf")


@given(st.integers(1, 30), st.integers(0, 100), st.integers(0, 100))
def test_fit_loops_and_crops(length, samples, start):
    sound = np.arange(length)
    expected = [(start + k) % length for k in range(samples)]
    assert fit(sound, samples, start).tolist() == expected
    assert fit(torch.from_numpy(sound)[None], samples, start)[0].tolist() == expected


def test_fit_of_nothing_is_refused():
    with pytest.raises(InputError, match="empty"):
        fit(np.zeros(0), 5)


def test_gain_in_decibels():
    sound = np.array([0.1, -0.2])
    assert power(gain(sound, 6)) / power(sound) == pytest.approx(10**0.6)


@given(st.integers(0, 50))
def test_headroom_bounds_parts_and_sum_and_keeps_ratios(seed):
    parts = list(np.random.default_rng(seed).standard_normal((3, 100)))
    scaled = with_headroom(parts)
    assert max(abs(sum(scaled)).max(), *(abs(part).max() for part in scaled)) <= 0.99 + 1e-12
    assert snr_db(scaled[0], scaled[1]) == pytest.approx(snr_db(parts[0], parts[1]))
    quiet = [part * 1e-3 for part in parts]
    assert with_headroom(quiet) is quiet


def test_coloured_noise_falls_as_asked():
    """An octave of pink noise holds as much power as the next; of white half, of brown twice."""
    for slope, ratio in ((0, 0.5), (1, 1.0), (2, 2.0)):
        noise = coloured_noise(1 << 16, slope, seed=1)
        energy = np.abs(np.fft.rfft(noise)) ** 2
        assert energy[4000:8000].sum() / energy[8000:16000].sum() == pytest.approx(ratio, rel=0.1)
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.1, rel=1e-4)
