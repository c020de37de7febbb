"""LOOK's forward value beside scikit-learn's weighted neighbours, modes beside its silhouettes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from sonograph.losses.neighbours import neighbour_loss, neighbour_votes
from sonograph.metrics.clusters import silhouette

TEMPERATURE = 0.1


def drawn(keys: int = 80, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    labels = torch.arange(keys) % classes
    centres = torch.randn(classes, 16, generator=draw)
    points = centres[labels] + 1.5 * torch.randn(keys, 16, generator=draw)
    return normalize(points, dim=1), labels


def peer(points: torch.Tensor, labels: torch.Tensor, k: int):
    neighbours = pytest.importorskip("sklearn.neighbors")
    return neighbours.KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / TEMPERATURE),
    ).fit(points.double().numpy(), labels.numpy())


@pytest.mark.parametrize("k", [1, 5, 20, 60])
def test_votes_are_scikit_learns(k):
    points, labels = drawn()
    known, asked = points[:60], points[60:]
    allowed = torch.ones(20, 60, dtype=torch.bool)
    ours = neighbour_votes(asked @ known.T, labels[:60], allowed, k, TEMPERATURE, 5)
    theirs = peer(known, labels[:60], k).predict_proba(asked.double().numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("k", [5, 20, 79])
def test_the_loss_left_one_out_is_scikit_learns(k):
    """Each clip asked of a classifier that was fitted without it."""
    points, labels = drawn()
    shares = []
    for i in range(len(points)):
        others = torch.arange(len(points)) != i
        fitted = peer(points[others], labels[others], k)
        asked = points[i : i + 1].double().numpy()
        shares.append(fitted.predict_proba(asked)[0, int(labels[i])])
    shares = np.array(shares)
    same = labels[:, None] == labels[None]
    allowed = ~torch.eye(len(points), dtype=torch.bool)
    scores = points @ points.T
    eps = neighbour_loss(scores, same, allowed, k, TEMPERATURE, "eps", 1e-6)
    assert float(eps) == pytest.approx(float(-np.log(shares + 1e-6).mean()), rel=1e-4)
    found = torch.from_numpy(shares > 0)
    nearest = neighbour_loss(scores[found], same[found], allowed[found], k, TEMPERATURE)
    assert float(nearest) == pytest.approx(float(-np.log(shares[shares > 0]).mean()), rel=1e-4)


def test_the_silhouette_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    points, labels = drawn()
    labels = torch.where(torch.arange(80) == 7, 9, labels)  # one point alone in its cluster
    theirs = metrics.silhouette_score(points.double().numpy(), labels.numpy())
    assert silhouette(points, labels) == pytest.approx(theirs, abs=1e-6)
