from __future__ import annotations

import numpy as np
import pytest

from sonograph.audio.feature_spec import Frontend
from sonograph.audio.pitch import energy, f0_hz, filled
from sonograph.audio.speech_features import natspeech_spec, voice_spec
from sonograph.errors import InputError

SPEC = voice_spec()
TIME = np.arange(8000) / 16000


@pytest.mark.parametrize("hz", [90.0, 133.3, 220.0, 410.0, 580.0])
def test_tones_and_harmonic_complexes(hz):
    tone = np.sin(2 * np.pi * hz * TIME)
    voice = sum(np.sin(2 * np.pi * hz * k * TIME + k) / k for k in range(1, int(7900 / hz)))
    assert isinstance(voice, np.ndarray)
    for sound in (tone, voice, 1e-3 * voice):
        np.testing.assert_allclose(f0_hz(sound, SPEC)[3:-3], hz, rtol=1e-3)


def test_without_its_fundamental_a_voice_keeps_its_pitch():
    voice = sum(np.sin(2 * np.pi * 150 * k * TIME) for k in range(2, 9))
    np.testing.assert_allclose(f0_hz(np.asarray(voice), SPEC)[3:-3], 150, rtol=1e-3)


def test_silence_noise_and_nothing_are_unvoiced():
    noise = np.random.default_rng(0).standard_normal(8000)
    assert f0_hz(np.zeros(8000), SPEC).tolist() == [0.0] * 31
    assert (f0_hz(noise, SPEC) > 0).mean() < 0.05
    assert f0_hz(np.zeros(0), SPEC).shape == (0,)


def test_a_voice_that_stops_stops_where_it_stops():
    sound = np.where(TIME < 0.25, np.sin(2 * np.pi * 200 * TIME), 0.0)
    voiced = f0_hz(sound, SPEC) > 0
    assert abs(voiced.sum() * 256 / 16000 - 0.25) < 0.02
    assert voiced[2:13].all()


@pytest.mark.parametrize("spec", [SPEC, natspeech_spec()])
@pytest.mark.parametrize("samples", [1000, 5001])
def test_there_are_as_many_frames_as_the_features_have(spec, samples):
    import torch

    sound = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    count = Frontend(spec)(torch.from_numpy(sound)[None]).values.shape[2]
    assert len(f0_hz(sound, spec)) == len(energy(sound, spec)) == count


def test_energy_is_the_norm_of_the_spectrum():
    import torch

    sound = np.random.default_rng(0).standard_normal(5120)
    padded = torch.nn.functional.pad(torch.from_numpy(sound)[None], (384, 384), mode="reflect")
    window = torch.hann_window(1024, dtype=torch.float64)
    want = torch.stft(padded, 1024, 256, window=window, center=False, return_complex=True)
    np.testing.assert_allclose(energy(sound, SPEC), want[0].abs().norm(dim=0), rtol=1e-4)


def test_gaps_are_bridged():
    assert filled(np.array([0.0, 100, 0, 0, 160, 0])).tolist() == [100, 100, 120, 140, 160, 160]
    assert filled(np.zeros(3)).tolist() == [0, 0, 0]


def test_a_range_that_does_not_fit_is_an_error():
    with pytest.raises(InputError, match="F0 from 80 to 9000 Hz does not fit 16000 Hz"):
        f0_hz(np.zeros(8000), SPEC, high_hz=9000)
