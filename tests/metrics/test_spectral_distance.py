from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from sonograph.audio.speech_features import hifigan_spec, voice_spec
from sonograph.errors import InputError
from sonograph.losses.spectral import MultiResolutionStft
from sonograph.metrics.spectral_distance import feature_distance, multi_resolution_stft


def waves(seed: int, clips: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(clips, 6000, generator=torch.Generator().manual_seed(seed))


def test_m_stft_is_the_published_formula():
    x, y = waves(0), waves(1)
    want = np.zeros(2)
    for fft, hop, window in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        left = (fft - window) // 2
        shape = np.pad(hann(window, sym=False), (left, fft - window - left))
        transform = ShortTimeFFT(shape, hop, fs=1, mfft=fft, fft_mode="onesided")
        found = []
        for wave in (x, y):
            padded = np.pad(wave.numpy(), ((0, 0), (fft // 2, fft // 2)), mode="reflect")
            frames = 1 + (padded.shape[1] - fft) // hop
            parts = np.stack([padded[:, k * hop : k * hop + fft] for k in range(frames)], axis=1)
            power = np.abs(np.fft.rfft(parts * transform.win)) ** 2
            found.append(np.sqrt(np.maximum(power, 1e-8)))
        mine, true = found
        for k in range(2):
            convergence = np.linalg.norm(true[k] - mine[k]) / np.linalg.norm(true[k])
            want[k] += (convergence + np.abs(np.log(true[k]) - np.log(mine[k])).mean()) / 3
    np.testing.assert_allclose(multi_resolution_stft(x, y), want, rtol=1e-4)


def test_what_is_equal_is_at_no_distance_and_sides_matter():
    x, y = waves(0), 2 * waves(1)
    assert multi_resolution_stft(x, x).tolist() == [0, 0]
    assert not torch.allclose(multi_resolution_stft(x, y), multi_resolution_stft(y, x))
    alone = multi_resolution_stft(x[:1], y[:1])
    torch.testing.assert_close(multi_resolution_stft(x, y)[:1], alone)
    torch.testing.assert_close(MultiResolutionStft()(x[:1], y[:1]), alone[0])  # the loss, one clip


def test_features_of_twice_the_level_are_ln_2_apart():
    x = waves(0)
    distance = feature_distance(2 * x, x, voice_spec())
    torch.testing.assert_close(distance, torch.full((2,), float(np.log(2))), rtol=1e-3, atol=1e-3)
    assert feature_distance(x, x, hifigan_spec()).tolist() == [0, 0]


def test_what_cannot_be_compared():
    with pytest.raises(InputError, match="both of one shape"):
        multi_resolution_stft(waves(0), waves(0)[:, :-1])
    with pytest.raises(InputError, match="1000 samples are too few to compare: give 1025"):
        feature_distance(waves(0)[:, :1000], waves(0)[:, :1000], voice_spec())
