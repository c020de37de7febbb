from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sonograph.audio.resample import (
    resample,
    resample_stream,
    resample_tensor,
    resampled_length,
)
from sonograph.errors import InputError

RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000])


def noise(channels: int, n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((channels, n)).astype(np.float32)


@given(n=st.integers(1, 5000), old=RATES, new=RATES)
@settings(max_examples=60, deadline=None)
def test_lengths_of_all_three(n, old, new):
    m = resampled_length(n, old, new)
    assert abs(m - n * new / old) <= 0.5 or m == 1
    assert resample(noise(1, n), old, new).shape == (1, m)
    assert resample_tensor(torch.zeros(1, n), old, new).shape == (1, m)
    assert sum(b.shape[1] for b in resample_stream([noise(1, n)], old, new)) == m


@given(
    cuts=st.lists(st.integers(0, 6000), max_size=5),
    old=RATES,
    new=RATES,
    channels=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_streaming_equals_one_shot(cuts, old, new, channels):
    samples = noise(channels, 6000)
    blocks = np.split(samples, sorted(cuts), axis=1)
    got = np.concatenate(list(resample_stream(blocks, old, new)), axis=1)
    np.testing.assert_allclose(got, resample(samples, old, new), atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"), [(44100, 16000), (16000, 44100), (48000, 16000), (8000, 16000)]
)
def test_tensor_equals_soxr_in_the_pass_band(old, new):
    """Both are transparent below 0.8 of the lower Nyquist rate."""
    n = old // 2
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(n))
    spectrum[int(0.8 * min(old, new) / 2 * n / old) :] = 0
    samples = (np.fft.irfft(spectrum, n) * np.hanning(n)).astype(np.float32)[None]
    want = resample(samples, old, new)
    got = resample_tensor(torch.from_numpy(samples), old, new).numpy()
    assert np.abs(got - want).max() < 5e-4 * np.abs(want).max()


def test_tensor_removes_what_would_alias():
    t = torch.arange(48000, dtype=torch.float64) / 48000
    above = torch.sin(2 * torch.pi * 9000 * t)[None]
    assert resample_tensor(above, 48000, 16000)[:, 500:-500].abs().max() < 1e-4


def test_tensor_passes_gradients():
    waveform = torch.randn(2, 60, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resample_tensor(x, 3, 2, zeros=6), (waveform,))


@pytest.mark.parametrize("rates", [(0, 8000), (8000, 0), (8000, -1)])
def test_impossible_rates(rates):
    with pytest.raises(InputError):
        resample(noise(1, 9), *rates)
