"""F0 beside Praat's own (praat-parselmouth), on a voice that is made here and on a real one."""

from __future__ import annotations

import numpy as np
import pytest

from sonograph.audio.pitch import f0_hz
from sonograph.audio.speech_features import voice_spec

parselmouth = pytest.importorskip("parselmouth")
RATE = 16000


def praat(sound: np.ndarray, count: int) -> np.ndarray:
    made = parselmouth.Sound(sound.astype(np.float64), RATE)
    pitch = made.to_pitch_ac(time_step=0.004, pitch_floor=80, pitch_ceiling=600)
    found = [pitch.get_value_at_time((k + 0.5) * 256 / RATE) for k in range(count)]
    return np.nan_to_num(np.array(found))


def gliding_voice() -> np.ndarray:
    """Glides from 120 to 260 Hz under a formant, with a noisy gap and breath throughout."""
    random = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 70 * time) / RATE
    weights = [1 / (1 + ((150 * k - 600) / 200) ** 2) for k in range(1, 28)]
    voice = sum(w * np.sin(k * phase) for k, w in enumerate(weights, 1))
    gap = (time > 0.8) & (time < 1.1)
    return np.where(gap, 0, voice) + (0.02 + 0.3 * gap) * random.standard_normal(len(time))


def agreement(sound: np.ndarray) -> tuple[float, float]:
    """Share of frames where both say voiced or both not; median difference in cents."""
    ours = f0_hz(sound, voice_spec())
    theirs = praat(sound, len(ours))
    both = (ours > 0) & (theirs > 0)
    cents = 1200 * np.abs(np.log2(ours[both] / theirs[both]))
    assert both.sum() > 20
    assert (cents > 200).mean() < 0.05
    return float(((ours > 0) == (theirs > 0)).mean()), float(np.median(cents))


def test_on_a_made_voice():
    agree, cents = agreement(gliding_voice())
    assert agree > 0.95
    assert cents < 2


def test_on_recordings():
    from sonograph.data.corpora import is_ready, open_corpus

    if not is_ready("asterisk-en"):
        pytest.skip("asterisk-en is not there: sonograph data get asterisk-en")
    clips = [clip for clip in open_corpus("asterisk-en") if 2 < clip.duration_s < 4][:5]
    for clip in clips:
        agree, cents = agreement(clip.read(RATE))
        assert agree > 0.95
        assert cents < 1
