from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from sonograph.errors import InputError
from sonograph.nn.codebook import Codebook, kmeans, nearest, perplexity


def clouds(count: int = 50, width: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Three clouds far from each other: (points, their centres)."""
    torch.manual_seed(0)
    centres = 10 * torch.eye(3, width)
    return torch.cat([c + 0.1 * torch.randn(count, width) for c in centres]), centres


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_kmeans_finds_clouds(metric):
    points, centres = clouds()
    best = min(  # Lloyd's iterations may end in a poor optimum: the best of some starts
        (
            kmeans(points, 3, 20, metric, torch.Generator().manual_seed(seed))[0]
            for seed in range(10)
        ),
        key=lambda found: float(
            torch.cdist(points, found * (10 if metric == "cosine" else 1)).min(1).values.sum()
        ),
    )
    wanted = normalize(centres, dim=1) if metric == "cosine" else centres
    assert torch.cdist(wanted, best).min(1).values.max() < 0.1


def test_kmeans_lowers_the_distance_and_labels_by_the_nearest():
    points = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    spread = []
    for iterations in (0, 1, 5, 20):
        centres, labels = kmeans(points, 8, iterations, generator=torch.Generator().manual_seed(1))
        assert torch.equal(labels, torch.cdist(points, centres).argmin(1))
        spread.append(float((points - centres[labels]).square().sum()))
    assert spread == sorted(spread, reverse=True)
    assert spread[0] > 1.2 * spread[-1]


def test_kmeans_refuses_what_it_cannot_do():
    with pytest.raises(InputError, match="k-means of 5 centres has 4 points: give more points"):
        kmeans(torch.randn(4, 2), 5)
    with pytest.raises(InputError, match="not finite"):
        kmeans(torch.tensor([[0.0], [float("nan")]]), 1)
    with pytest.raises(InputError, match="takes \\(points, features\\)"):
        kmeans(torch.randn(4), 2)


def test_as_many_centres_as_points_are_the_points():
    points = torch.randn(6, 2)
    centres, labels = kmeans(points, 6)
    assert sorted(labels.tolist()) == list(range(6))
    torch.testing.assert_close(centres[labels], points)


def test_nearest_of_many_points_is_that_of_each():
    points, centres = torch.randn(40_000, 3), torch.randn(7, 3)
    some = torch.arange(0, 40_000, 997)
    want = torch.cdist(points[some], centres).argmin(1)
    assert torch.equal(nearest(points, centres)[some], want)
    assert nearest(points[:0], centres).shape == (0,)


def unit(count: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_a_codebook_in_evaluation_never_changes():
    book = Codebook(8, 4).eval()
    before = {name: value.clone() for name, value in book.state_dict().items()}
    values, labels = book(unit(30))
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())
    torch.testing.assert_close(values, book.codes[labels])
    assert torch.equal(labels, (unit(30) @ book.codes.T).argmax(1))
    assert list(book.parameters()) == []  # nothing for an optimiser to touch


def test_a_codebook_starts_from_the_first_batch_and_follows_its_mean_directions():
    torch.manual_seed(0)
    book = Codebook(3, 4, decay=0.9).train()
    with pytest.raises(InputError, match="k-means of 3 centres has 2 points"):
        book(unit(2))
    assert not book.started
    book(unit(30))
    assert book.started
    codes, x = book.codes.clone(), unit(30, seed=1)
    x = x[(x @ codes.T).argmax(1) != 2]  # nothing for the last code
    _, labels = book(x)
    for k in (0, 1):
        mean = normalize(x[labels == k].mean(0), dim=0)
        want = normalize(0.9 * codes[k] + 0.1 * mean, dim=0)
        torch.testing.assert_close(book.codes[k], want)
    assert torch.equal(book.codes[2], codes[2])


def test_gradients_pass_straight_through():
    book, x = Codebook(3, 4).eval(), unit(5).requires_grad_()
    weight = torch.randn(5, 4)
    (book(x)[0] * weight).sum().backward()
    assert torch.equal(x.grad, weight)


def test_perplexity():
    assert perplexity(torch.zeros(9, dtype=torch.long), 4) == pytest.approx(1)
    assert perplexity(torch.arange(4), 4) == pytest.approx(4)
    assert perplexity(torch.tensor([0, 0, 0, 1]), 4) == pytest.approx(
        2 ** (0.75 * 0.4150375 + 0.25 * 2), rel=1e-6
    )
