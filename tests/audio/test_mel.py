from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.feature_spec import Frontend, log_mel_spec
from sonograph.audio.mel import hz_to_mel, mel_bank, mel_to_hz

librosa = pytest.importorskip("librosa")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    stream = np.random.default_rng(1)
    swell = np.linspace(0, 1, 22050) ** 4  # the beginning is far below the end
    return (0.3 * stream.standard_normal(22050) * swell).astype(np.float32)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", ["none", "slaney"])
@pytest.mark.parametrize(("rate", "fft", "bins"), [(22050, 1024, 80), (16000, 512, 64)])
def test_banks_equal_librosa(scale, norm, rate, fft, bins):
    want = librosa.filters.mel(
        sr=rate,
        n_fft=fft,
        n_mels=bins,
        fmin=50,
        fmax=7000,
        htk=scale == "htk",
        norm=None if norm == "none" else "slaney",
        dtype=np.float64,
    )
    got = mel_bank(bins, fft, rate, 50, 7000, scale, norm)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("scale", ["htk", "slaney", "kaldi"])
def test_scales_invert(scale):
    hz = np.array([0.0, 60, 440, 999.9, 1000, 1000.1, 5000, 16000])
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, atol=1e-8)


@pytest.mark.parametrize("top_db", [None, 60.0])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_decibels_equal_librosa(sound, top_db, power):
    energies = librosa.feature.melspectrogram(
        y=sound, sr=22050, n_fft=1024, hop_length=256, n_mels=80, power=power, pad_mode="reflect"
    )
    to_db = librosa.power_to_db if power == 2 else librosa.amplitude_to_db
    want = to_db(energies, ref=1.0, amin=1e-10, top_db=top_db)
    spec = log_mel_spec(22050, 1024, 256, 80, top_db=top_db).override(power=power)
    got = Frontend(spec)(torch.from_numpy(sound)[None]).values[0]
    np.testing.assert_allclose(got, want, atol=2e-3)


@pytest.mark.parametrize(("log", "function"), [("ln", np.log), ("log10", np.log10)])
def test_logarithms(sound, log, function):
    """With a window shorter than the FFT and zero-padded ends."""
    energies = librosa.feature.melspectrogram(
        y=sound,
        sr=22050,
        n_fft=1024,
        win_length=800,
        hop_length=200,
        n_mels=40,
        htk=True,
        norm=None,
    )
    spec = log_mel_spec(22050, 1024, 200, 40, mel_scale="htk", mel_norm="none", log=log)
    spec = spec.override(window_samples=800, center="constant")
    got = Frontend(spec)(torch.from_numpy(sound)[None]).values[0]
    np.testing.assert_allclose(got, function(np.maximum(energies, 1e-10)), atol=5e-4)


def test_top_db_is_a_matter_of_each_clip(sound):
    """A loud neighbour in the batch does not raise a quiet clip's floor."""
    spec = log_mel_spec(22050, 1024, 256, 80, top_db=40.0)
    loud = torch.from_numpy(sound)[None]
    front = Frontend(spec)
    both = front(torch.cat((loud, loud / 1000))).values
    torch.testing.assert_close(both[1:], front(loud / 1000).values)
    assert both[1].max() - both[1].min() <= 40.001


WEIGHTS_OF_TORCHAUDIO = {
    (40, 46): 0.5767994523048401,
    (63, 112): 0.6701107621192932,
    (78, 188): 0.8264423608779907,
}


def test_single_precision_is_torchaudios_arithmetic():
    """Weights of torchaudio's formula in float32: 80 bands, 400 points, 16 kHz, 0 to 8 kHz."""
    single = mel_bank(80, 400, 16000, 0, 8000, "htk_float32")
    exact = mel_bank(80, 400, 16000, 0, 8000, "htk")
    assert 1e-6 < abs(single - exact).max() < 1e-5
    np.testing.assert_array_equal(single, single.astype(np.float32))
    for (band, place), weight in WEIGHTS_OF_TORCHAUDIO.items():
        assert single[band, place] == weight
        assert exact[band, place] != weight
