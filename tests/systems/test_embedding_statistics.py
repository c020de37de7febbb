from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from sonograph import build, registry
from sonograph.errors import InputError
from sonograph.systems.tag import embedding_statistics as system

ENCODER = dataclasses.replace(system.test(), labels=())


@pytest.mark.parametrize("name", [p.name for p in registry.presets("embedding-statistics*")])
def test_only_feed_forward_networks(name):
    """No convolution, recurrence or attention: linear maps, ReLU and dropout are all there is."""
    allowed = (nn.Linear, nn.ReLU, nn.Dropout, nn.Sequential, nn.ModuleDict)
    ours = ("sonograph.systems.tag.embedding_statistics", "sonograph.audio")
    for part in build(name, device="meta").modules():
        assert isinstance(part, allowed) or type(part).__module__.startswith(ours), type(part)


def test_counts_are_shares_of_the_clips_own_pieces():
    codes = torch.tensor([[[0.0], [0.1], [0.9], [5.0]]])
    inside = torch.tensor([[True, True, True, False]])
    words = torch.tensor([[0.0], [1.0], [5.0]])
    got = system.statistics_of(codes, inside, words, ("counts",), 0.1)
    torch.testing.assert_close(got, torch.tensor([[2 / 3, 1 / 3, 0.0]]).sqrt())


@pytest.mark.parametrize("which", ["mean", "deviation", "largest"])
def test_soft_statistics_go_to_hard_ones(which):
    codes, words = torch.randn(2, 50, 3), torch.randn(5, 3)
    inside = torch.arange(50) < torch.tensor([[50], [20]])
    got = system.statistics_of(codes, inside, words, (which,), 1e-4)
    hard = torch.cdist(codes, words[None]).argmin(-1)[..., None] == torch.arange(5)
    for n, count in enumerate((50, 20)):
        own = hard[n, :count].float()
        want = {
            "mean": own.mean(0).sqrt(),
            "deviation": own.std(0, unbiased=False),
            "largest": own.amax(0),
        }[which]
        torch.testing.assert_close(got[n], want, atol=0.02, rtol=0.05)


def test_an_envelope_is_smooth_and_keeps_the_mean():
    envelope = system.Spectra(system.FeatureSpec(), 20)
    spectrum = torch.randn(128)
    smooth = spectrum @ envelope.smooth
    torch.testing.assert_close(smooth.mean(), spectrum.mean(), atol=1e-5, rtol=1e-5)
    assert smooth.diff().square().sum() < 0.1 * spectrum.diff().square().sum()
    torch.testing.assert_close(smooth @ envelope.smooth, smooth, atol=1e-4, rtol=1e-4)


def test_each_second_is_described_by_itself():
    encoder = system.EmbeddingStatistics(ENCODER).eval()
    sound = torch.randn(1, 1, 6000)
    tokens = encoder(sound)
    assert tokens.grid == (1, 3)
    for n in range(3):
        alone = encoder(sound[:, :, 2000 * n : 2000 * (n + 1)]).values[0, 0]
        torch.testing.assert_close(tokens.values[0, n], alone, atol=1e-5, rtol=1e-5)


def test_fewer_pieces_than_words_is_an_error():
    encoder = system.EmbeddingStatistics(ENCODER)
    with pytest.raises(InputError, match="fewer than its 12 words"):
        encoder.find_words([(torch.randn(1, 700), torch.tensor([700]))], torch.Generator())


def test_words_spread_over_what_was_heard():
    encoder = system.EmbeddingStatistics(ENCODER).eval()
    sounds = torch.randn(6, 16000) * torch.logspace(-3, 0, 6)[:, None]
    batch = (sounds, torch.full((6,), 16000))
    before = encoder(sounds[:, None]).values
    encoder.find_words([batch], torch.Generator().manual_seed(0))
    after = encoder(sounds[:, None]).values
    assert after.std(0).mean() > 2 * before.std(0).mean()


def test_no_view_at_all():
    with pytest.raises(InputError, match="no view"):
        system.EmbeddingStatistics(
            dataclasses.replace(ENCODER, boxes=(), slices=(), windows=(), envelope=0)
        )
