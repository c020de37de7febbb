from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sonograph.errors import InputError
from sonograph.metrics.tagging import Accuracy, Confusion, Ranking, d_prime

metrics = pytest.importorskip("sklearn.metrics")

GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.randn(200, 5, generator=GENERATOR)
TARGET = torch.randint(0, 5, (200,), generator=GENERATOR)
LABELS = (torch.rand(200, 6, generator=GENERATOR) < 0.2).int()
LABELS[:, 3] = 0  # a class without positives
MANY = torch.cat([SCORES, SCORES[:, :1]], 1).mul(4).round()  # many equal scores


def gather(make, *data, parts=3):
    """All at once, and in parts that are merged: the same."""
    whole = make()
    whole.update(*data)
    merged = make()
    for piece in zip(*(torch.tensor_split(d, parts) for d in data)):
        one = make()
        one.update(*piece)
        merged.merge(one)
    return whole, merged


def test_accuracy():
    expected = metrics.accuracy_score(TARGET, SCORES.argmax(1))
    for metric in gather(Accuracy, SCORES, TARGET):
        assert metric.compute() == pytest.approx(expected)
    assert math.isnan(Accuracy().compute())


def test_confusion_and_f1():
    expected = metrics.confusion_matrix(TARGET, SCORES.argmax(1))
    for metric in gather(lambda: Confusion(5), SCORES, TARGET):
        assert np.array_equal(metric.compute().numpy(), expected)
        f1 = metrics.f1_score(TARGET, SCORES.argmax(1), average=None)
        np.testing.assert_allclose(metric.f1().numpy(), f1)
        recalls = metrics.recall_score(TARGET, SCORES.argmax(1), average=None)
        np.testing.assert_allclose(metric.recalls().numpy(), recalls)
    with pytest.raises(InputError, match="outside of the 5 classes"):
        Confusion(5).update(SCORES, TARGET + 1)


def test_macro_f1_counts_classes_that_occur():
    metric = Confusion(5)
    scores = torch.eye(5)[torch.tensor([0, 1, 1, 2])]
    target = torch.tensor([0, 1, 0, 0])
    metric.update(scores, target)
    expected = metrics.f1_score(target, scores.argmax(1), average="macro")
    assert metric.macro_f1() == pytest.approx(expected)


@pytest.mark.parametrize("scores", [torch.cat([SCORES, SCORES[:, :1]], 1), MANY])
def test_ranking(scores):
    kept = [0, 1, 2, 4, 5]
    for metric in gather(Ranking, scores, LABELS):
        found = metric.compute()
        assert found.skipped == 1
        assert math.isnan(found.average_precisions[3])
        precision = metrics.average_precision_score(LABELS[:, kept], scores[:, kept], average=None)
        auc = metrics.roc_auc_score(LABELS[:, kept], scores[:, kept], average=None)
        np.testing.assert_allclose(found.average_precisions[kept], precision, atol=1e-6)
        np.testing.assert_allclose(found.aucs[kept], auc, atol=1e-6)
        assert found.mean_average_precision == pytest.approx(precision.mean())
        assert found.auc == pytest.approx(auc.mean())
        assert found.d_prime == pytest.approx(d_prime(auc.mean()))


def test_d_prime_is_the_distance_of_two_normals():
    """P(x + d > y) = Phi(d / sqrt 2) for unit normals."""
    assert d_prime(0.5) == 0.0
    assert d_prime(0.5 * (1 + math.erf(1.5 / 2))) == pytest.approx(1.5)


def test_ranking_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="differ in shape"):
        Ranking().update(SCORES, LABELS)
    with pytest.raises(InputError, match="no scores"):
        Ranking().compute()
