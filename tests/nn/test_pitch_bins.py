from __future__ import annotations

import math

import torch

from sonograph.nn.pitch_bins import PitchBins


def test_equals_the_formula_of_natspeech():
    hz = torch.tensor([0.0, 50.0, 200.0, 900.0, 5000.0])
    low, high = (1127 * math.log(1 + f / 700) for f in (50, 900))
    middle = (1127 * math.log(1 + 200 / 700) - low) * 254 / (high - low) + 1
    assert PitchBins().of(hz).tolist() == [1, 1, round(middle), 255, 255]


def test_another_range_moves_the_bins():
    hz = torch.tensor([900.0, 1100.0])
    assert PitchBins(high_hz=1100.0).of(hz).tolist()[1] == 255
    assert PitchBins(high_hz=1100.0).of(hz)[0] < 255
    assert int(PitchBins(bins=16).of(hz).max()) == 15
