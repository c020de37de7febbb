"""Analysis in blocks, and the files that features lie in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.feature_spec import Frontend
from sonograph.audio.speech_features import (
    hifigan_spec,
    natspeech_spec,
    tacotron2_spec,
    voice_spec,
)
from sonograph.errors import InputError
from sonograph.infer.vocode import analyse
from sonograph.outputs import Audio, features_of_file, save_features

SPECS = {"hifigan": hifigan_spec(), "natspeech": natspeech_spec(), "tacotron2": tacotron2_spec()}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("samples", [256, 1000, 5000, 50_001])
def test_blocks_are_the_whole(name, samples):
    spec = SPECS[name]
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, samples)).astype(np.float32)
    whole = Frontend(spec)(torch.from_numpy(noise)).values[0]
    blocks = list(analyse(Audio(noise, spec.rate_hz), spec, frames=16))
    assert max(block.shape[1] for block in blocks) <= 16 + 6
    torch.testing.assert_close(torch.cat(blocks, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_too_short_a_sound_and_whole_clip_features_are_refused():
    with pytest.raises(InputError, match="less than a frame"):
        list(analyse(Audio(np.zeros((1, 100), np.float32), 16000), voice_spec()))
    whole = voice_spec().override(clip_mean="subtract")
    with pytest.raises(InputError, match="depend on the whole sound"):
        list(analyse(Audio(np.zeros((1, 999), np.float32), 16000), whole))


def test_features_survive_a_file_and_strange_ones_are_refused(tmp_path):
    spec, values = voice_spec(), np.ones((80, 5), np.float32)
    save_features(tmp_path / "a.npz", values, spec)
    np.testing.assert_array_equal(features_of_file(tmp_path / "a.npz", spec), values)
    with pytest.raises(InputError, match=r"different features: rate_hz 16000 / 22050"):
        features_of_file(tmp_path / "a.npz", hifigan_spec())
    np.save(tmp_path / "b.npy", values[None])
    assert features_of_file(tmp_path / "b.npy", spec).shape == (80, 5)
    np.save(tmp_path / "c.npy", values.T)
    with pytest.raises(InputError, match=r"give \(80, frames\)"):
        features_of_file(tmp_path / "c.npy", spec)
    (tmp_path / "d.npz").write_text("no features")
    with pytest.raises(InputError, match="holds no features"):
        features_of_file(tmp_path / "d.npz", spec)
    with pytest.raises(InputError, match="does not exist"):
        features_of_file(tmp_path / "e.npy", spec)
