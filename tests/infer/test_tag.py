from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sonograph.audio.feature_spec import log_mel_spec
from sonograph.audio.live import Live
from sonograph.infer.tag import Heard, Spans, listen, tag
from sonograph.nn.heads import Tagging
from sonograph.outputs import Audio

RATE = 8000


class Loudness(nn.Module, Tagging):
    """Hears "loud" where the level is high and "high" where the upper bands are."""

    labels = ("loud", "high")

    class config:
        frames = 100

    def __init__(self, answer="several"):
        super().__init__()
        self.answer = answer
        self.encoder = self
        self.spec = log_mel_spec(RATE, 256, 80, 16)

    def events(self, features, lengths):
        inside = torch.arange(features.shape[2]) < lengths[:, None]
        features = features.masked_fill(~inside[:, None], -100)
        both = torch.stack([features.amax(1), features[:, 8:].amax(1)], 1)
        return (both > -20).float() * 0.8 + 0.1

    def forward(self, features, lengths):
        return torch.logit(self.events(features, lengths).amax(2))


def tone(hz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(RATE * seconds)) / RATE).astype(np.float32)


@pytest.fixture
def sound() -> Audio:
    """Silence, a low tone from 3 to 5 s, silence, a high tone from 6 to 6.5 s, silence to 8 s."""
    quiet = lambda seconds: np.zeros(int(RATE * seconds), np.float32)  # noqa: E731
    parts = [quiet(3), tone(300, 2), quiet(1), tone(3500, 0.5), quiet(1.5)]
    return Audio(np.concatenate(parts)[None], RATE)


def test_onsets_and_offsets(sound):
    spans = tag(Loudness(), sound).spans
    assert [s.label for s in spans] == ["loud", "high", "loud"] or [s.label for s in spans] == [
        "loud",
        "loud",
        "high",
    ]
    times = {(s.label, round(s.start_s)): (s.start_s, s.end_s) for s in spans}
    np.testing.assert_allclose(times["loud", 3], (3, 5), atol=0.05)
    np.testing.assert_allclose(times["loud", 6], (6, 6.5), atol=0.05)
    np.testing.assert_allclose(times["high", 6], (6, 6.5), atol=0.05)


def test_batches_change_nothing(sound):
    assert tag(Loudness(), sound, batch=1) == tag(Loudness(), sound, batch=5)


def test_windows_cover_the_sound_once(sound):
    heard = list(listen(Loudness(), sound))
    assert heard[0].start_s == 0
    assert heard[-1].end_s == pytest.approx(sound.duration_s, abs=0.02)
    for one, following in pairwise(heard):
        assert one.end_s == following.start_s


def test_nothing_is_known_of_a_murmur():
    tags = tag(Loudness(), Audio(np.full((1, 3 * RATE), 1e-3, np.float32), RATE))
    assert tags.known() == []
    assert tags.spans == ()
    assert tags.to_json()["known"] == []
    assert tags.top(1)[0].score == pytest.approx(0.1)


def test_labels_that_exclude_each_other_have_one_at_a_time():
    steps = np.array([[0.9, 0.8, 0.1, 0.2], [0.1, 0.2, 0.9, 0.8]])
    spans = Spans(("a", "b"), True, 0.0)
    done = spans.add(Heard(0.0, 4.0, 4.0, steps.mean(1), steps)) + spans.end()
    assert [(s.label, s.start_s, s.end_s, s.score) for s in done] == [
        ("a", 0.0, 2.0, 0.9),
        ("b", 2.0, 4.0, 0.9),
    ]


def test_a_label_has_not_ended_in_a_short_gap():
    steps = np.zeros((2, 40))
    steps[0, [2, 3, 5, 6, 20]] = 0.8  # of 0.1 s each
    spans = Spans(("a", "b"), False, 0.5)
    done = spans.add(Heard(0.0, 4.0, 4.0, np.array([0.9, 0.9]), steps)) + spans.end()
    np.testing.assert_allclose([(s.start_s, s.end_s) for s in done], [(0.2, 0.7), (2.0, 2.1)])


def test_what_the_whole_window_does_not_hold_is_not_heard_in_a_part():
    steps = np.full((2, 4), 0.9)
    spans = Spans(("a", "b"), False, 0.5)
    done = spans.add(Heard(0.0, 4.0, 4.0, np.array([0.9, 0.2]), steps)) + spans.end()
    assert [s.label for s in done] == ["a"]


def test_silence_is_none_of_several():
    class Sure(Loudness):
        def events(self, features, lengths):
            return torch.full((len(features), 2, features.shape[2]), 0.9)

    silent = Audio(np.zeros((1, 2 * RATE), np.float32), RATE)
    assert tag(Sure(), silent).scores == {"loud": 0.0, "high": 0.0}
    assert len(tag(Sure("one"), silent).known()) == 2


def test_a_pipe_gives_what_the_file_gives(sound):
    samples = (sound.samples[0] * 32767).astype("<i2")
    whole = tag(Loudness(), Audio(samples[None].astype(np.float32) / 32768, RATE))
    live = tag(Loudness(), Live(io.BytesIO(samples.tobytes()), RATE), batch=1)
    assert live.scores == whole.scores
    for one, other in zip(live.spans, whole.spans, strict=True):
        assert one.label == other.label
        assert (one.start_s, one.end_s) == pytest.approx((other.start_s, other.end_s), abs=0.01)


def test_a_label_track_for_audacity(sound):
    lines = tag(Loudness(), sound).to_audacity().splitlines()
    assert len(lines) == 3
    start, end, label = lines[0].split("\t")
    assert (round(float(start)), round(float(end)), label) == (3, 5, "loud")
