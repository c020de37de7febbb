from __future__ import annotations

import torch

from sonograph.audio.cqt import ConstantQ
from sonograph.nn.cqt_discriminator import (
    PUBLISHED,
    ConstantQDiscriminator,
    ConstantQDiscriminators,
    View,
    doubled,
)

SMALL = View(64, 6, 3)


def test_twice_the_rate_is_the_same_sound():
    n = torch.arange(400)
    for waveform in (torch.sin(2 * torch.pi * 0.05 * n), torch.randn(401)):
        twice = doubled(waveform[None])
        assert twice.shape == (1, 2 * len(waveform))
        torch.testing.assert_close(twice[0, ::2], waveform, atol=1e-4, rtol=0)
    between = torch.sin(2 * torch.pi * 0.05 * (n + 0.5))
    torch.testing.assert_close(
        doubled(torch.sin(2 * torch.pi * 0.05 * n)[None])[0, 1::2], between, atol=1e-4, rtol=0
    )


def test_coefficients_have_the_energies_of_the_transform():
    cqt = ConstantQ(8000, 64, 65.0, 18, 6, 1.0, "hann", 2.0)
    padded = torch.randn(2, 1000 + 2 * cqt.reach)
    energies = cqt(padded, 12, lambda block: block)
    found = torch.cat(cqt.coefficients(padded, 12), dim=1)
    assert found.shape == (2, 18, 12)
    torch.testing.assert_close(found.abs().square(), energies)


def test_scores_and_maps_of_each_view():
    views = (SMALL, View(32, 6, 3))
    critics = ConstantQDiscriminators(4000, views, channels=4)
    waveform = torch.randn(2, 2048, requires_grad=True)
    judged = critics(waveform)
    assert len(judged.scores) == len(judged.maps) == 2
    frames, bins = 1 + 4096 // 64, 18
    shapes = [tuple(one.shape) for one in judged.maps[0]]
    # 18 bins are halved three times
    assert shapes == [(2, 4, frames, w) for w in (bins, 9, 5, 3, 3)] + [(2, 1, frames, 3)]
    assert judged.scores[0].shape == (2, frames * 3)
    sum(scores.sum() for scores in judged.scores).backward()
    for name, weight in critics.named_parameters():
        assert weight.grad is not None, name
    assert bool(waveform.grad.abs().sum() > 0)


def test_published_views_and_octaves_that_fit():
    assert [(v.hop_samples, v.bins_per_octave) for v in PUBLISHED] == [
        (512, 24),
        (256, 36),
        (256, 48),
    ]
    assert len(ConstantQDiscriminator(24_000, View(512, 2), 4).octaves) == 9
    assert len(ConstantQDiscriminator(16_000, View(512, 2), 4).octaves) == 8
    weights = sum(p.numel() for p in ConstantQDiscriminator(4000, SMALL, 4).octaves.parameters())
    assert weights == 3 * (2 * 2 * 27 + 2)
