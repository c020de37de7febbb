"""How many clusters points fall into."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sonograph.errors import InputError
from sonograph.nn.codebook import kmeans

STRUCTURE = 0.25  # silhouettes below are "no substantial structure" (Kaufman, Rousseeuw 1990)


def silhouette(points: Float[Tensor, "n d"], labels: Int[Tensor, "n"]) -> float:
    """The mean silhouette: (b - a) / max(a, b) of each point, where a is its mean distance to the
    others of its cluster and b to those of the next cluster; 0 for a point alone in its cluster.

    Euclidean distance (Rousseeuw 1987). Raises InputError for fewer than two clusters.
    """
    clusters, member = labels.unique(return_inverse=True)
    if len(clusters) < 2:
        raise InputError("a silhouette is of two clusters at least: all points are in one")
    points = points.double()
    inside = torch.nn.functional.one_hot(member, len(clusters)).double()
    totals, sizes = torch.cdist(points, points) @ inside, inside.sum(0)
    own = sizes[member]
    within = totals.gather(1, member[:, None])[:, 0] / (own - 1).clamp(min=1)
    means = (totals / sizes).scatter(1, member[:, None], float("inf"))
    between = means.min(1).values
    value = (between - within) / torch.maximum(between, within).clamp(min=1e-12)
    return float(value.masked_fill(own == 1, 0).mean())


def modes(
    points: Float[Tensor, "n d"], most: int = 8, tries: int = 3, least: float = STRUCTURE
) -> tuple[int, float]:
    """(how many clusters, their silhouette): the number from 2 to `most` of highest silhouette.

    Clusters by k-means, begun `tries` times at random with fixed seeds; one cluster where no
    silhouette reaches `least`, with the best that was found.
    """
    best = (1, -1.0)
    for count in range(2, min(most, len(points) - 1) + 1):
        for seed in range(tries):
            draw = torch.Generator().manual_seed(seed)
            labels = kmeans(points, count, 30, generator=draw)[1]
            if len(labels.unique()) > 1:
                best = max(best, (count, silhouette(points, labels)), key=lambda found: found[1])
    return best if best[1] >= least else (1, best[1])
