"""GE2E against its equations, written out speaker by speaker."""

from __future__ import annotations

import pytest
import torch

from sonograph.errors import InputError
from sonograph.losses.ge2e import GE2E


def vectors(speakers: int = 3, utterances: int = 4) -> torch.Tensor:
    drawn = torch.randn(speakers, utterances, 5, generator=torch.Generator().manual_seed(0))
    return drawn / drawn.norm(dim=2, keepdim=True)


def test_own_centroids_leave_the_utterance_out():
    e = vectors()
    judged = GE2E(norm_eps=0.0)(e)
    for j in range(3):
        for i in range(4):
            for k in range(3):
                rest = [e[k, m] for m in range(4) if (k, m) != (j, i)]
                centroid = torch.stack(rest).mean(0)
                cosine = e[j, i] @ centroid / centroid.norm()
                torch.testing.assert_close(judged.similarity[j, i, k], 10 * cosine - 5)
    each = [judged.similarity[j].log_softmax(1)[:, j] for j in range(3)]
    torch.testing.assert_close(judged.loss, -torch.cat(each).mean())


def test_scale_and_offset_learn_a_hundredth():
    damped, free = GE2E(), GE2E(gradient_scale=1.0)
    for loss in (damped, free):
        loss(vectors()).loss.backward()
    torch.testing.assert_close(100 * damped.scale.grad, free.scale.grad)
    assert free.scale.grad.abs() > 0
    assert damped(vectors()).loss == free(vectors()).loss


def test_speakers_apart_cost_less():
    apart = torch.eye(5)[:3, None].expand(3, 4, 5)
    assert GE2E()(apart).loss < GE2E()(vectors()).loss


@pytest.mark.parametrize("shape", [(1, 4), (3, 1)])
def test_too_few_are_refused(shape):
    with pytest.raises(InputError, match="at least two of two"):
        GE2E()(vectors(*shape))
