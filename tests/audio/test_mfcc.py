from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.feature_spec import Frontend, log_mel_spec
from sonograph.audio.mfcc import cosine_rows


def test_rows_are_orthonormal():
    rows = cosine_rows(40, 40)
    np.testing.assert_allclose(rows @ rows.T, np.eye(40), atol=1e-12)


def test_equals_librosa():
    librosa = pytest.importorskip("librosa")
    sound = (0.1 * np.random.default_rng(2).standard_normal(16000)).astype(np.float32)
    want = librosa.feature.mfcc(
        y=sound, sr=16000, n_mfcc=20, n_fft=512, hop_length=160, n_mels=64, pad_mode="reflect"
    )
    spec = log_mel_spec(16000, 512, 160, 64, top_db=80.0).override(kind="mfcc", coefficients=20)
    got = Frontend(spec)(torch.from_numpy(sound)[None])
    assert got.values.shape[1] == spec.rows == 20
    np.testing.assert_allclose(got.values[0], want, atol=5e-3)
