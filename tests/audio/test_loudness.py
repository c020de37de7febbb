"""The reference signals of ITU-R BS.1770-4 and EBU Tech 3341, tolerance 0.1 LU as there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sonograph.audio.loudness import _high_pass, _shelf, loudness
from sonograph.errors import InputError


def tone(level_db: float, seconds: float, rate: int = 48000, hz: float = 1000) -> torch.Tensor:
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (10 ** (level_db / 20) * torch.sin(2 * math.pi * hz * t)).float()


def stereo(*parts: torch.Tensor) -> torch.Tensor:
    return torch.cat(parts).expand(1, 2, -1)


def test_filters_equal_the_tables_at_48_khz():
    ahead, behind = _shelf(48000)
    want = [1.53512485958697, -2.69169618940638, 1.19839281085285]
    np.testing.assert_allclose(ahead, want, atol=1e-6)
    np.testing.assert_allclose(behind, [1, -1.69065929318241, 0.73248077421585], atol=1e-6)
    ahead, behind = _high_pass(48000)
    assert ahead.tolist() == [1, -2, 1]
    np.testing.assert_allclose(behind, [1, -1.99004745483398, 0.99007225036621], atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000, 96000])
def test_full_scale_997_hz_reads_minus_3_01(rate):
    got = loudness(tone(0, 5, rate, 997)[None, None], rate)
    assert got.item() == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_ebu_cases_1_and_2(level):
    assert loudness(stereo(tone(level, 20)), 48000).item() == pytest.approx(level, abs=0.1)


def test_ebu_case_3_relative_gate():
    sound = stereo(tone(-36, 10), tone(-23, 60), tone(-36, 10))
    assert loudness(sound, 48000).item() == pytest.approx(-23, abs=0.1)


def test_ebu_case_4_absolute_gate():
    sound = stereo(tone(-72, 10), tone(-36, 10), tone(-23, 60), tone(-36, 10), tone(-72, 10))
    assert loudness(sound, 48000).item() == pytest.approx(-23, abs=0.1)


def test_ebu_case_6_surround():
    levels = (-28, -28, -24, -30, -30)
    sound = torch.stack([tone(level, 20) for level in levels])[None]
    assert loudness(sound, 48000).item() == pytest.approx(-23, abs=0.1)


def test_silence_and_batch():
    sound = torch.stack((torch.zeros(48000), tone(-20, 1)))[:, None]
    got = loudness(sound, 48000)
    assert got[0] == -math.inf
    torch.testing.assert_close(got[1:], loudness(sound[1:], 48000))


def test_gain_has_its_gradient():
    """d LUFS / d ln(gain) = 20 / ln 10."""
    gain = torch.tensor(1.0, requires_grad=True)
    loudness(gain * tone(-20, 1)[None, None], 48000).sum().backward()
    assert gain.grad.item() == pytest.approx(20 / math.log(10), rel=1e-4)


@pytest.mark.parametrize(("shape", "rate"), [((1, 1, 100), 48000), ((1, 6, 48000), 48000)])
def test_undefined(shape, rate):
    with pytest.raises(InputError):
        loudness(torch.zeros(shape), rate)
