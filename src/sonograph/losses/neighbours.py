"""Learning a classifier of nearest neighbours: the right label has to be near, not everywhere.

Leave-one-out k-nearest-neighbour loss of LOOK (arXiv 2110.06014, ICLR 2022). All functions take
`scores` (b, q): cosines of b queries with q keys, and masks of the same shape: `allowed`, which
keys a query may see (not its own older ones), `same`, which of them have its label.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Absent = Literal["nearest", "eps"]


def nearest_keys(
    scores: Float[Tensor, "b q"], allowed: Bool[Tensor, "b q"], k: int
) -> Bool[Tensor, "b q"]:
    """The k allowed keys of highest score of each query; all of them where there are fewer."""
    ranked = scores.detach().masked_fill(~allowed, float("-inf"))
    places = ranked.topk(min(k, scores.shape[1]), dim=1).indices
    return torch.zeros_like(allowed).scatter(1, places, True) & allowed


def neighbour_loss(
    scores: Float[Tensor, "b q"],
    same: Bool[Tensor, "b q"],
    allowed: Bool[Tensor, "b q"],
    k: int,
    temperature: float,
    absent: Absent = "nearest",
    eps: float = 1e-6,
) -> Float[Tensor, ""]:
    """-mean log p(own label), where p is the vote of the k nearest keys, in nats.

    A vote weighs exp(score / temperature). Where none of the k has the right label, p is 0:
    `absent="nearest"` lets the nearest key of the label vote as well, which pulls the query
    towards the nearest of its modes; "eps" adds eps to p, and such a query learns nothing. Queries
    whose label no allowed key has are left out with "nearest"; if all are, the loss is 0.
    """
    scores, same = scores.float(), same & allowed
    near = nearest_keys(scores, allowed, k)
    if absent == "nearest":
        lost = ~(near & same).any(1, keepdim=True)
        near = near | (nearest_keys(scores, same, 1) & lost)
        told = same.any(1)
    else:
        told = allowed.any(1)
    if not bool(told.any()):
        return scores.sum() * 0
    votes = scores[told] / temperature
    near, right = near[told], (near & same)[told]
    everybody = votes.masked_fill(~near, float("-inf")).logsumexp(1)
    if absent == "nearest":
        return (everybody - votes.masked_fill(~right, float("-inf")).logsumexp(1)).mean()
    shares = (votes.masked_fill(~near, float("-inf")) - everybody[:, None]).exp()
    return -(shares.masked_fill(~right, 0).sum(1) + eps).log().mean()


def neighbour_votes(
    scores: Float[Tensor, "b q"],
    labels: Int[Tensor, "q"],
    allowed: Bool[Tensor, "b q"],
    k: int,
    temperature: float,
    classes: int,
) -> Float[Tensor, "b classes"]:
    """p(label): the share of each label in the votes of the k nearest keys."""
    near = nearest_keys(scores, allowed, k)
    votes = (scores.float() / temperature).masked_fill(~near, float("-inf")).softmax(1)
    votes = votes.masked_fill(~near, 0)  # a query that may see no key has no vote, not NaN
    shares = votes.new_zeros(len(votes), classes)
    return shares.index_add(1, labels.clamp(min=0), votes)


def neighbours_wanted(step: int, k: int, most: int, warmup: int) -> int:
    """How many neighbours vote at a step: from `most` down to k, by equal factors over `warmup`.

    Many neighbours at first, while what is near says little yet; as k nears the number of keys
    the loss becomes soft neighbourhood components analysis.

    >>> [neighbours_wanted(step, 10, 1000, 4) for step in range(6)]
    [1000, 316, 100, 32, 10, 10]
    """
    if step >= warmup or most <= k:
        return k
    return max(k, round(most * (k / most) ** (step / warmup)))
