"""Vectors that stand for clusters: k-means, and a codebook that follows moving averages."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from sonograph.errors import InputError

Metric = Literal["euclidean", "cosine"]
BLOCK = 16_384  # points compared with all centres at a time


def nearest(
    points: Float[Tensor, "n d"], centres: Float[Tensor, "k d"], metric: Metric = "euclidean"
) -> Int[Tensor, "n"]:
    """Index of the centre nearest to each point, in bounded memory, in float32 or better.

    "cosine" takes both sides as they are: give vectors of unit length.
    """
    with torch.autocast(points.device.type, enabled=False):
        points, centres = (x if x.dtype == torch.float64 else x.float() for x in (points, centres))
        shift = 0.5 * centres.square().sum(1) if metric == "euclidean" else 0.0
        found = [(part @ centres.T - shift).argmax(1) for part in points.split(BLOCK)]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.long, device=points.device)


def sums_of(
    points: Float[Tensor, "n d"], labels: Int[Tensor, "n"], count: int
) -> tuple[Float[Tensor, "k d"], Float[Tensor, "k"]]:
    """The sum of the points of each label, and how many there are."""
    total = points.new_zeros(count, points.shape[1]).index_add_(0, labels, points)
    return total, torch.bincount(labels, minlength=count).to(points.dtype)


@torch.no_grad()
def kmeans(
    points: Float[Tensor, "n d"],
    count: int,
    iterations: int = 10,
    metric: Metric = "euclidean",
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "k d"], Int[Tensor, "n"]]:
    """(centres, label of each point) by Lloyd's iterations, begun from points drawn at random.

    With "cosine", points and centres have unit length. A centre that no point is nearest to
    stays where it is. Raises InputError for fewer points than centres, or for ones not finite.
    """
    if points.ndim != 2:
        raise InputError(f"k-means takes (points, features), not {tuple(points.shape)}")
    if not 1 <= count <= len(points):
        raise InputError(
            f"k-means of {count} centres has {len(points)} points: give more points, or fewer "
            "centres"
        )
    if not bool(torch.isfinite(points).all()):
        raise InputError("k-means was given points that are not finite")
    points = points if points.dtype == torch.float64 else points.float()
    points = normalize(points, dim=1) if metric == "cosine" else points
    first = torch.randperm(len(points), generator=generator)[:count].to(points.device)
    centres = points[first].clone()
    for _ in range(iterations):
        total, members = sums_of(points, nearest(points, centres, metric), count)
        moved = total / members.clamp(min=1)[:, None]
        moved = normalize(moved, dim=1) if metric == "cosine" else moved
        centres = torch.where(members[:, None] > 0, moved, centres)
    return centres, nearest(points, centres, metric)


class Codebook(nn.Module):
    """Unit vectors that follow the mean direction of what is nearest to them (VQ with EMA).

    vectors (n, d) of unit length -> (their codes' vectors, gradients passed straight through to
    the input; indices). In training the codes move, by the moving average of `decay`; the first
    batch starts them by k-means. In evaluation nothing changes. Codes are buffers: no optimiser
    and no copy of the weights in another precision ever touches them. A code that a batch does not
    use stays. The quantiser of BEiT v2 (Peng et al. 2022, section 2.1), as BEATs takes it.
    """

    def __init__(self, count: int, width: int, decay: float = 0.99):
        super().__init__()
        self.decay = decay
        self.codes: Tensor
        self.usage: Tensor
        self.started: Tensor
        self.register_buffer("codes", normalize(torch.randn(count, width), dim=1))
        self.register_buffer("usage", torch.zeros(count))  # moving average of uses in a batch
        self.register_buffer("started", torch.zeros(1))

    def forward(
        self, vectors: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "n d"], Int[Tensor, "n"]]:
        vectors = vectors.float()
        if self.training and not bool(self.started):
            self.start(vectors.detach())
        labels = nearest(vectors, self.codes, "cosine")
        chosen = self.codes[labels]
        if self.training:
            self.follow(vectors.detach(), labels)
        return vectors + (chosen - vectors).detach(), labels

    @torch.no_grad()
    def start(self, vectors: Float[Tensor, "n d"], iterations: int = 10) -> None:
        """Begin with the centres of these vectors; InputError where they are fewer than codes."""
        self.codes.copy_(kmeans(vectors, len(self.codes), iterations, "cosine")[0])
        if _several():
            torch.distributed.broadcast(self.codes, 0)
        self.started.fill_(1)

    @torch.no_grad()
    def follow(self, vectors: Float[Tensor, "n d"], labels: Int[Tensor, "n"]) -> None:
        """One update of the moving averages; over all processes of a distributed run."""
        total, members = sums_of(vectors, labels, len(self.codes))
        if _several():
            torch.distributed.all_reduce(total)
            torch.distributed.all_reduce(members)
        self.usage.lerp_(members, 1 - self.decay)
        means = normalize(total / members.clamp(min=1)[:, None], dim=1)
        moved = normalize(self.codes.lerp(means, 1 - self.decay), dim=1)
        self.codes.copy_(torch.where(members[:, None] > 0, moved, self.codes))


def perplexity(labels: Int[Tensor, "*n"], count: int) -> float:
    """How many codes are in use: 2 to the entropy of their frequencies in bits.

    >>> perplexity(torch.tensor([0, 1, 0, 1]), 8)
    2.0
    """
    shares = torch.bincount(labels.flatten(), minlength=count).double()
    shares = shares / shares.sum().clamp(min=1)
    return float(torch.exp2(-(shares * torch.where(shares > 0, shares, 1.0).log2()).sum()))


def _several() -> bool:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return distributed and torch.distributed.get_world_size() > 1
