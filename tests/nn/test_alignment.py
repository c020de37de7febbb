"""An aligner that learns along: its schedule, its losses, and what padding changes."""

from __future__ import annotations

import pytest
import torch

from sonograph.nn.acoustic import SpeechBatch, Text
from sonograph.nn.aligner import Aligner, beta_binomial_prior, binarisation_loss, forward_sum_loss
from sonograph.nn.alignment import Alignment, aligned, find_durations
from sonograph.nn.monotonic import to_hard

PLAN = Alignment("learned", hard_from=5, binarise_from=8)


@pytest.fixture
def aligner() -> Aligner:
    torch.manual_seed(0)
    return Aligner(6, 10, 12)


@pytest.fixture
def batch() -> SpeechBatch:
    draw = torch.Generator().manual_seed(1)
    tokens, frames = torch.tensor([5, 3]), torch.tensor([20, 11])
    ids = torch.randint(1, 9, (2, 5), generator=draw)
    text = Text(ids, tokens, torch.zeros_like(ids))
    return SpeechBatch(text, torch.randn(2, 10, 20, generator=draw), frames)


@pytest.fixture
def embedded() -> torch.Tensor:
    return torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(2))


def test_losses_are_those_of_the_aligner_under_its_prior(aligner, batch, embedded):
    found = find_durations(aligner, PLAN, 8, embedded, batch)
    tokens, frames = batch.text.lengths, batch.lengths
    prior = beta_binomial_prior(frames, tokens, 1.0, (20, 5))
    soft, scores = aligner(embedded, batch.features, tokens, frames, prior)
    torch.testing.assert_close(
        found.losses["forward_sum"], forward_sum_loss(scores, tokens, frames)
    )
    hard = to_hard(found.durations, 20)
    torch.testing.assert_close(found.losses["binarisation"], binarisation_loss(hard, soft))
    assert found.durations.sum(1).tolist() == [20, 11]
    other = aligned(aligner, embedded, batch, prior=0.2)
    assert not torch.allclose(other.soft[0], soft[0], atol=1e-3)


@pytest.mark.parametrize(
    ("step", "is_soft", "losses"),
    [
        (0, True, {"forward_sum"}),
        (4, True, {"forward_sum"}),
        (5, False, {"forward_sum"}),
        (8, False, {"forward_sum", "binarisation"}),
    ],
)
def test_the_schedule(aligner, batch, embedded, step, is_soft, losses):
    found = find_durations(aligner, PLAN, step, embedded, batch)
    assert (found.attention is not None) == is_soft
    assert set(found.losses) == losses
    assert all(hasattr(PLAN, name) for name in losses)  # their weights


def test_a_clip_alone_has_the_durations_it_has_among_others(aligner, batch, embedded):
    both = find_durations(aligner, PLAN, 9, embedded, batch).durations
    text = Text(*(part[1:] for part in batch.text))
    alone = SpeechBatch(
        Text(text.ids[:, :3], text.lengths, text.words[:, :3]),
        batch.features[1:, :, :11],
        batch.lengths[1:],
    )
    one = find_durations(aligner, PLAN, 9, embedded[1:, :, :3], alone).durations
    assert one[0].tolist() == both[1, :3].tolist()
    assert both[1, 3:].tolist() == [0, 0]
