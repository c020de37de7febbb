from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sonograph.errors import InputError
from sonograph.nn.mel_bands import (
    HAND_MADE,
    BandMasks,
    BandSplit,
    hand_made_bands,
    mel_bands,
    side_by_side,
)


@pytest.mark.parametrize(
    ("count", "fft", "rate"),
    [(60, 2048, 44_100), (32, 1024, 24_000), (24, 512, 16_000), (24, 1024, 32_000), (8, 256, 8000)],
)
@pytest.mark.parametrize("layout", [mel_bands, hand_made_bands])
def test_every_bin_lies_in_a_band(layout, count, fft, rate):
    bands = layout(count, fft, rate)
    cover = np.zeros(fft // 2 + 1, int)
    for start, end in bands:
        assert end > start
        cover[start:end] += 1
    assert len(bands) == count
    assert cover.min() == 1
    assert cover.max() == (2 if layout is mel_bands else 1)


def test_the_published_layouts():
    widths = [end - start for start, end in mel_bands(60, 2048, 44_100)]
    assert sum(widths) == 1979
    assert widths[0] == 7
    assert widths[-1] == 130
    assert hand_made_bands(62, 2048, 44_100) == side_by_side(HAND_MADE)
    assert sum(HAND_MADE) == 1025


def test_other_hand_made_layouts_grow_with_frequency():
    for rate in (16_000, 22_050, 44_100, 96_000):
        widths = [end - start for start, end in hand_made_bands(24, 1024, rate)]
        assert widths[-1] > widths[0]
        assert sum(widths) == 513


def test_too_many_bands_are_refused():
    with pytest.raises(InputError, match=r"128 mel bands over 129 bins .* fewer bands"):
        mel_bands(128, 256, 16_000)
    with pytest.raises(InputError, match="20 bands over 9 bins"):
        hand_made_bands(20, 16, 16_000)


BANDS = ((0, 3), (2, 4), (3, 6), (4, 7))  # neighbours overlap; some are equally wide


def test_split_is_a_norm_and_a_linear_map_a_band():
    torch.manual_seed(0)
    split = BandSplit(BANDS, 2, 5)
    for gain in split.gains:
        nn.init.normal_(gain)
    spectrum = torch.randn(4, 3, 7, 2)
    tokens = split(spectrum)
    assert tokens.shape == (4, 3, 4, 5)
    for r, (a, b) in enumerate(split.project.runs):
        for k in range(a, b):
            start, end = BANDS[k]
            x = spectrum[:, :, start:end].flatten(2)
            x = nn.functional.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * split.gains[r][k - a]
            weight, bias = split.project.weights[r][k - a], split.project.biases[r][k - a]
            torch.testing.assert_close(tokens[:, :, k], x @ weight + bias)


def test_silence_is_split_into_finite_tokens():
    assert torch.isfinite(BandSplit(BANDS, 2, 5)(torch.zeros(1, 1, 7, 2))).all()


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_masks_are_averaged_where_bands_overlap(layers):
    torch.manual_seed(0)
    head = BandMasks(BANDS, 2, 5, 8, layers)
    tokens = torch.randn(4, 3, 4, 5)
    mask = head(tokens)
    wanted, cover = torch.zeros(4, 3, 7, 2), torch.zeros(7, 1)
    run_of = {k: (r, k - a) for r, (a, b) in enumerate(head.out.runs) for k in range(a, b)}
    for k, (start, end) in enumerate(BANDS):
        x = tokens[:, :, k]
        for layer in head.hidden:
            r, place = run_of[k]
            x = torch.tanh(x @ layer.weights[r][place] + layer.biases[r][place])
        r, place = run_of[k]
        x = x @ head.out.weights[r][place] + head.out.biases[r][place]
        value, gate = x.chunk(2, dim=-1)
        wanted[:, :, start:end] += (value * gate.sigmoid()).unflatten(-1, (-1, 2))
        cover[start:end] += 1
    torch.testing.assert_close(mask, wanted / cover)
