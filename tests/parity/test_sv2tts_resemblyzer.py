"""The published speaker encoder: our reading of its file against the package that brings it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from sonograph import weights
from sonograph.audio.feature_spec import Frontend
from sonograph.systems.speak import sv2tts
from sonograph.systems.speak.sv2tts.speaker import starts_of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("resemblyzer") is None, reason="resemblyzer is not installed"
)


@pytest.fixture(scope="module")
def theirs():
    import scipy.ndimage

    # an old name that the package still imports
    if importlib.util.find_spec("scipy.ndimage.morphology") is None:
        import sys

        sys.modules["scipy.ndimage.morphology"] = scipy.ndimage
    import resemblyzer

    return resemblyzer.VoiceEncoder("cpu", verbose=False).eval()


@pytest.fixture(scope="module")
def ours():
    found = importlib.util.find_spec("resemblyzer")
    assert found is not None
    assert found.origin is not None
    return weights.load(Path(found.origin).parent / "pretrained.pt")


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz that glides and swells, with breath: as long as wanted."""
    draw = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16000)) / 16000
    turns = np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * t)) / 16000
    buzz = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 25))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)
    return (0.05 * swell * buzz + 0.002 * draw.standard_normal(len(t))).astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def test_the_file_loads_with_its_count(ours):
    assert isinstance(ours, sv2tts.SpeakerEncoder)
    assert sum(p.numel() for p in ours.parameters()) == 1_423_616


def test_same_mel_same_vector(theirs, ours):
    mel = np.abs(np.random.default_rng(1).standard_normal((5, 160, 40))).astype(np.float32)
    with torch.no_grad():
        want = theirs(torch.from_numpy(mel)).numpy()
        got = ours(torch.from_numpy(mel).transpose(1, 2)).numpy()
    assert cosine(want, got).min() > 0.999999
    assert abs(want - got).max() < 1e-4  # the norm's 1e-5


@pytest.mark.parametrize("seconds", [0.7, 1.7, 3.0, 4.31])
def test_partial_windows_begin_where_theirs_do(theirs, ours, seconds):
    samples = round(seconds * 16000)
    _, windows = theirs.compute_partial_slices(samples, 1.3, 0.75)
    rule = ours.config.override(partials="rate")
    assert starts_of(samples, rule, ours.spec) == [one.start for one in windows]


def test_partials_and_utterance(theirs, ours):
    samples = speech(4.3)
    want, parts, _ = theirs.embed_utterance(samples, return_partials=True)
    rated = sv2tts.build(ours.whole.override({"encoder.partials": "rate"}))
    rated.load_state_dict(ours.state_dict())
    got = rated.eval().partials(samples).numpy()
    assert got.shape == parts.shape
    assert cosine(parts, got).min() > 0.9999
    assert cosine(want, got.mean(0)) > 0.9999


def test_a_real_clip(theirs, ours, shared):
    """A human voice through their features and through ours."""
    from resemblyzer.audio import wav_to_mel_spectrogram

    from sonograph.audio.io import read

    path = sorted((shared / "data" / "esc10").glob("*baby*/*.ogg"))[0]
    samples = read(path, rate_hz=16000, channels="mono").samples[0]
    mel = wav_to_mel_spectrogram(samples).T
    own = Frontend(ours.spec)(torch.from_numpy(samples.copy())[None]).values[0].numpy()
    assert own.shape == mel.shape
    assert np.abs(own - mel).max() < 1e-4 * mel.max()
    rated = sv2tts.build(ours.whole.override({"encoder.partials": "rate"}))
    rated.load_state_dict(ours.state_dict())
    want, parts, _ = theirs.embed_utterance(samples, return_partials=True)
    got = rated.eval().partials(samples).numpy()
    assert cosine(parts, got).min() > 0.9999
    assert cosine(want, got.mean(0)) > 0.9999
