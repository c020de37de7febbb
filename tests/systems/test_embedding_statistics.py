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
    torch.manual_seed(0)
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


def represented() -> system.EmbeddingStatistics:
    torch.manual_seed(0)
    encoder = system.EmbeddingStatistics(dataclasses.replace(ENCODER, represented=10))
    sounds = torch.randn(6, 16000) * torch.logspace(-3, 0, 6)[:, None]
    lengths = torch.full((6,), 16000)
    encoder.find_words([(sounds, lengths)], torch.Generator().manual_seed(0))
    return encoder


def tones(clips: int, seconds: int) -> torch.Tensor:
    """Clips that are alike all through and unlike one another."""
    pitch = torch.linspace(0.05, 2.5, clips)[:, None]
    noise = 0.01 * torch.randn(clips, seconds * 2000, generator=torch.Generator().manual_seed(0))
    return (torch.sin(pitch * torch.arange(seconds * 2000)) + noise)[:, None]


def test_a_learned_layer_stands_on_the_counts():
    encoder = represented()
    sound = tones(2, 3)
    tokens = encoder(sound)
    counts = system.EmbeddingStatistics(ENCODER)
    counts.views.load_state_dict(encoder.views.state_dict())
    want = encoder.represent(counts(sound).values).relu()
    assert encoder.width == tokens.values.shape[2] == 10
    torch.testing.assert_close(tokens.values, want)


def test_contrast_teaches_the_layer_and_leaves_the_words_alone():
    model = system.Contrast(represented(), width=8)
    before = {n: v.clone() for n, v in model.encoder.views.state_dict().items()}
    sound, draw = tones(8, 4), torch.Generator().manual_seed(0)
    learning = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    losses = []
    for _ in range(30):
        parts = model(sound, None, draw)
        losses.append(float(parts["loss"].detach()))
        learning.zero_grad()
        parts["loss"].backward()
        learning.step()
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert all(torch.equal(v, before[n]) for n, v in model.encoder.views.state_dict().items())


def test_halves_are_apart_and_within_the_clip():
    mask = torch.arange(9) < torch.tensor([[9], [4], [1], [0]])
    first, second = system.halves(mask, torch.Generator().manual_seed(3))
    assert not (first & second).any()
    assert torch.equal(first | second, mask)
    assert first.sum(1).tolist() == [4, 2, 0, 0]
    again, _ = system.halves(mask, torch.Generator().manual_seed(4))
    assert not torch.equal(first, again)


def test_clips_of_one_second_change_nothing_and_need_others():
    model = system.Contrast(represented())
    sound = tones(4, 3)
    lengths = torch.tensor([6000, 6000, 2000, 6000])
    loss = model(sound, lengths, torch.Generator().manual_seed(0))["loss"]
    sound[2] = torch.randn(1, 6000)
    torch.testing.assert_close(
        model(sound, lengths, torch.Generator().manual_seed(0))["loss"], loss
    )
    with pytest.raises(InputError, match="two clips that are longer than a second"):
        model(sound, torch.tensor([6000, 2000, 2000, 2000]), torch.Generator())


def test_contrast_needs_its_layer():
    with pytest.raises(InputError, match="give `represented`"):
        system.Contrast(system.EmbeddingStatistics(ENCODER))
