"""Sound of features without a trained vocoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.feature_spec import FeatureSpec, Frontend, waveform_spec
from sonograph.audio.speech_features import hifigan_spec, natspeech_spec, voice_spec
from sonograph.errors import InputError
from sonograph.nn.phase_search import PhaseSearch

SPECS = {"voice": voice_spec(), "hifigan": hifigan_spec(), "natspeech": natspeech_spec()}


def voiced(rate_hz: int, seconds: float = 0.7) -> torch.Tensor:
    """Harmonics of a gliding tone, as long as a multiple of the hop."""
    time = np.arange(round(seconds * rate_hz) // 256 * 256) / rate_hz
    turns = 2 * np.pi * (140 * time + 30 * time**2)
    sound = sum(np.sin(k * turns) / k for k in range(1, 20))
    return torch.from_numpy(0.1 * sound * np.sin(np.pi * time / time[-1])).float()[None]


@pytest.mark.parametrize("name", SPECS)
def test_the_sound_has_the_features_that_it_was_made_of(name):
    spec = SPECS[name]
    sound = voiced(spec.rate_hz)
    features = Frontend(spec)(sound).values
    made = PhaseSearch(spec)(features)
    assert made.shape == (1, features.shape[2] * spec.hop_samples)
    again = Frontend(spec)(made[:, : sound.shape[1]]).values
    loud = features > features.max() - 4 / (1 if spec.log == "ln" else np.log(10))
    unit = 1.0 if spec.log == "ln" else np.log(10)
    error = unit * (again - features[..., : again.shape[2]])[loud[..., : again.shape[2]]]
    assert error.abs().mean() < 0.25


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 9])
def test_few_frames(frames):
    made = PhaseSearch(voice_spec(), rounds=2)(torch.full((2, 80, frames), -5.0))
    assert made.shape == (2, 256 * frames)
    assert torch.isfinite(made).all()


@pytest.mark.parametrize("spec", [waveform_spec(16000), FeatureSpec()])
def test_other_features_are_refused(spec):
    with pytest.raises(InputError, match="griffin-lim"):
        PhaseSearch(spec)
