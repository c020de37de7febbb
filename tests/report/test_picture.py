"""Colours rise evenly in lightness, low bins are at the bottom, hidden values are see-through."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.audio.mel import mel_bank
from sonograph.report import picture

Image = pytest.importorskip("PIL.Image")


def opened(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def test_equal_steps_look_equal():
    colours = picture.ember() / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    cube = np.cbrt(luminance)
    lightness = np.where(luminance > 0.008856, 116 * cube - 16, 903.3 * luminance)  # CIE L*
    steps = np.diff(lightness[::17])
    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.min()
    assert lightness[0] < 8
    assert lightness[-1] > 90


def test_low_bins_lie_at_the_bottom_and_hidden_ones_are_transparent():
    values = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    hidden = np.array([[False, True, False], [False, False, False]])
    shown = opened(picture.spectrogram(values, (0.0, 1.0), hidden))
    assert shown.shape == (4, 6, 4)
    assert (shown[3, 0, :3] == picture.ember()[0]).all()
    assert (shown[0, 0, :3] == picture.ember()[-1]).all()
    assert (shown[2:, 2:4, 3] == 0).all()
    assert (shown[:2, :, 3] == 255).all()


def test_digital_silence_does_not_use_up_the_shades():
    draw = np.random.default_rng(0)
    sound = draw.uniform(0.0, 1.0, (128, 100))
    silent = np.full((128, 100), -9.0)
    low, high = picture.level_range(np.concatenate([sound, silent], axis=1))
    assert 0.0 <= low < 0.1
    assert 0.9 < high <= 1.0


def test_patches_spread_over_their_bins_and_frames():
    mask = picture.spread(np.array([[True, False], [False, True]]), (2, 3), (5, 7))
    assert mask[:2, :3].all()
    assert mask[2:4, 3:6].all()
    assert mask.sum() == 12


def test_bin_centres_are_the_peaks_of_the_mel_bank():
    spec = FeatureSpec()
    bank = mel_bank(128, 65536, 16000, spec.low_hz, spec.high_hz, spec.mel_scale, spec.mel_norm)
    peaks = bank.argmax(axis=1) * 16000 / 65536
    assert np.allclose(picture.bin_centres_hz(spec), peaks, atol=0.5)
    marks = picture.frequency_marks(picture.bin_centres_hz(spec))
    assert [text for _, text in marks] == ["250", "1k", "2k", "4k"]
    assert picture.frequency_marks(()) == []
