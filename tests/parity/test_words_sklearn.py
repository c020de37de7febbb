"""The words of embedding statistics beside scikit-learn's k-means from the same start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.nn.codebook import kmeans


def test_words_are_the_centres_that_scikit_learn_finds():
    cluster = pytest.importorskip("sklearn.cluster")
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(4, 1, 6, generator=draw) * 5 + torch.randn(4, 200, 6, generator=draw)
    points = points.flatten(0, 1)
    first = points[torch.randperm(800, generator=torch.Generator().manual_seed(1))[:4]]
    ours, labels = kmeans(points, 4, 30, generator=torch.Generator().manual_seed(1))
    peer = cluster.KMeans(4, init=first.numpy(), n_init=1, max_iter=30, tol=0).fit(points.numpy())
    np.testing.assert_allclose(ours.numpy(), peer.cluster_centers_, atol=1e-4)
    assert (labels.numpy() == peer.labels_).all()
