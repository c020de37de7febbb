"""The Kaldi fbank of the golden case: kaldi-native-fbank at 80 bins, transformers at 128."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch

from sonograph.audio.fbank import kaldi_fbank
from sonograph.audio.feature_spec import FeatureSpec, Frontend

BEATS = FeatureSpec(
    window="povey",
    waveform_scale=32768.0,
    clip_mean="keep",
    mean=15.41663,
    deviation=2 * 6.55582,
)


@pytest.fixture(scope="module")
def golden(shared):
    spec = importlib.util.spec_from_file_location("golden_reader", shared / "golden/golden.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.read_case(shared / "golden/kaldi-fbank-a.npz")


@pytest.fixture(scope="module")
def waveform(golden):
    return torch.from_numpy(golden.inputs["waveform"])[None]


@pytest.mark.parametrize(
    ("output", "bins", "window", "clip_mean", "scale"),
    [
        ("ssast_hanning_128", 128, "hann_symmetric", True, 1),
        ("native_hanning_80", 80, "hann_symmetric", True, 1),
        ("beats_povey_128", 128, "povey", False, 32768),
        ("native_povey_80", 80, "povey", False, 32768),
    ],
)
def test_raw(golden, waveform, output, bins, window, clip_mean, scale):
    if clip_mean:
        waveform = waveform - waveform.mean()
    got = kaldi_fbank(waveform * scale, bins, window)[0].T[:: golden.about["stride"]]
    np.testing.assert_allclose(got, golden.outputs[output], atol=3e-4, rtol=0)


def test_beats_normalised(golden, waveform):
    got = Frontend(BEATS)(waveform).values[0].T[:: golden.about["stride"]]
    np.testing.assert_allclose(got, golden.outputs["beats_normalised"], atol=3e-5, rtol=0)


def test_ssast_normalised_and_padded(golden, waveform):
    """Frames beyond the clip hold a normalised raw zero."""
    spec = FeatureSpec()
    frames = golden.about["settings"]["target_length"]
    n = waveform.shape[1]
    padded = torch.nn.functional.pad(waveform, (0, spec.samples(frames) - n))
    got = Frontend(spec)(padded, torch.tensor([n]))
    assert got.lengths.tolist() == [spec.frames(n)]
    want = golden.outputs["ssast_normalised_padded"]
    got = got.values[0].T[:: golden.about["stride"]]
    np.testing.assert_allclose(got, want, atol=6e-5, rtol=0)
