from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.errors import InputError
from sonograph.train.probe import fit_path, knn, linear_probe


def clouds(count: int, seed: int, classes: int = 3, features: int = 6):
    """Overlapping Gaussian clouds, on very different scales."""
    centres = torch.randn(classes, features, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    x = centres[y] + torch.randn(count, features, generator=generator)
    return x * torch.logspace(-3, 3, features), y


@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_equals_scikit_learn(penalty):
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = clouds(90, 0)
    test_x, _ = clouds(50, 1)
    probe = fit_path(x, y, 3, [3.0, penalty])[-1]
    standard = ((x.double() - x.double().mean(0)) / x.double().std(0, unbiased=False)).numpy()
    theirs = linear.LogisticRegression(C=1 / (len(x) * penalty), tol=1e-10, max_iter=5000)
    theirs.fit(standard, y.numpy())
    given = ((test_x.double() - probe.mean) / probe.deviation).numpy()
    ours = probe(test_x).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(given), atol=1e-5)


def test_is_deterministic_and_right():
    train, test = clouds(300, 0), clouds(300, 1)
    first, second = linear_probe(*train, *test), linear_probe(*train, *test)
    assert first.accuracy == second.accuracy > 0.7
    assert torch.equal(first.scores, second.scores)
    assert first.penalty in first.inner_accuracies
    assert max(first.inner_accuracies.values()) == first.inner_accuracies[first.penalty]


def test_groups_keep_the_penalty_honest():
    """Features that name the recording look perfect within it and say nothing about another."""
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(12).repeat_interleave(10)
    y = groups % 2
    weak = y[:, None] + 2.0 * torch.randn(120, 1, generator=generator)
    name = torch.nn.functional.one_hot(groups, 12) * 3.0 + 0.1 * torch.randn(
        120, 12, generator=generator
    )
    x = torch.cat([weak, name], 1)
    in_group = linear_probe(x, y, x, y).inner_accuracies
    grouped = linear_probe(x, y, x, y, folds=groups).inner_accuracies
    assert max(in_group.values()) == 1.0
    assert max(grouped.values()) < 0.9


def test_the_test_clips_choose_nothing():
    train, test = clouds(90, 0), clouds(30, 1)
    one = linear_probe(*train, *test)
    other = linear_probe(*train, test[0], (test[1] + 1) % 3)
    assert one.penalty == other.penalty
    assert torch.equal(one.scores, other.scores)


def test_constant_features_and_a_class_without_training_clips():
    x, y = clouds(60, 0)
    x = torch.cat([x, torch.ones(60, 1)], 1)
    result = linear_probe(x, y, x[:3], torch.tensor([0, 1, 4]))
    assert result.scores.shape == (3, 5)
    assert torch.isfinite(result.scores).all()


def test_knn():
    train, test = clouds(300, 0), clouds(300, 1)
    assert knn(*train, *test) > 0.6
    assert knn(*train, *train, k=1) == 1.0
    neighbours = pytest.importorskip("sklearn.neighbors")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    scaler = preprocessing.StandardScaler().fit(train[0].double().numpy())
    theirs = neighbours.KNeighborsClassifier(
        7, metric="cosine", weights=lambda distance: np.exp(-distance / 0.07)
    ).fit(scaler.transform(train[0].double().numpy()), train[1].numpy())
    expected = theirs.score(scaler.transform(test[0].double().numpy()), test[1].numpy())
    assert knn(*train, *test, k=7) == pytest.approx(expected)


def test_bad_input_is_one_line():
    x, y = clouds(30, 0)
    with pytest.raises(InputError, match="NaN"):
        linear_probe(x * float("nan"), y, x, y)
    with pytest.raises(InputError, match="one label"):
        linear_probe(x, y * 0, x, y)
    with pytest.raises(InputError, match="n labels"):
        knn(x, y[:3], x, y)
    with pytest.raises(InputError, match="width: 6 and 5"):
        knn(x, y, x[:, :5], y)
    with pytest.raises(InputError, match="two groups"):
        linear_probe(x, y, x, y, folds=torch.zeros(30))


def test_more_features_than_clips_is_the_same_optimum() -> None:
    """The search in the span of the clips against one in all features."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 40, generator=generator, dtype=torch.float64)
    y = torch.arange(12) % 3
    probe = fit_path(x, y, 3, [0.1])[0]
    inputs = (x - probe.mean) / probe.deviation
    weight = probe.weight.clone().requires_grad_()
    bias = probe.bias.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(inputs @ weight + bias, y)
    (loss + 0.05 * weight.square().sum()).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.abs().max() < 1e-5
    assert bias.grad.abs().max() < 1e-5
