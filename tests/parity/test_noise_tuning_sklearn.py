"""Spectrum and covariance against scikit-learn and NumPy, the MLP against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.systems.adapt.noise_tuning import RepairedHead, regularisers, spectrum


def drawn(rows: int, width: int) -> np.ndarray:
    """Vectors that are stronger in some directions than in others."""
    draw = np.random.default_rng(0)
    return draw.standard_normal((rows, width)) * np.linspace(3, 0.1, width) + 0.5


@pytest.mark.parametrize(("rows", "width"), [(200, 24), (10, 32)])
def test_the_spectrum_is_that_of_a_truncated_decomposition(rows, width):
    """What the official code does with scikit-learn: full rank, exact, then entropy and ratio."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    features = drawn(rows, width)
    unit = preprocessing.normalize(features)
    # of the rows, not of the columns
    centred = preprocessing.StandardScaler(with_std=False).fit_transform(unit.T).T
    fitted = decomposition.TruncatedSVD(min(rows, width), n_iter=20, random_state=0).fit(centred)
    values = fitted.singular_values_
    found = spectrum(torch.tensor(features))
    np.testing.assert_allclose(found.singular_values, values, rtol=1e-7, atol=1e-9)
    stats = pytest.importorskip("scipy.stats")
    assert found.entropy == pytest.approx(stats.entropy(values), rel=1e-7)
    assert found.largest_log_ratio == pytest.approx(-np.log(values[0] / values.sum()), rel=1e-7)


def test_the_covariance_is_the_empirical_one():
    covariance = pytest.importorskip("sklearn.covariance")
    z, given = drawn(16, 12), drawn(8, 12)
    found = regularisers(torch.tensor(z), torch.tensor(given))["covariance"]
    empirical = covariance.empirical_covariance(z) * 16 / 15  # over n there, over n - 1 here
    expected = (np.square(empirical).sum() - np.square(np.diag(empirical)).sum()) / 12
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_the_terms_is_their_slope():
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(10, 6, generator=draw).requires_grad_(True)
    given, step = torch.randn(5, 6, generator=draw), torch.randn(10, 6, generator=draw)
    for name in ("consistency", "covariance", "share"):
        (slope,) = torch.autograd.grad(regularisers(z, given, 3)[name], z)
        ends = [
            float(regularisers((z + sign * 1e-2 * step).detach(), given, 3)[name])
            for sign in (1, -1)
        ]
        told = float((slope * step).sum())
        assert told == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=2e-2, abs=1e-4), name


def test_the_head_is_its_formula_in_training_and_in_use():
    torch.manual_seed(0)
    head = RepairedHead(6, 3, ratio=2)
    with torch.no_grad():
        head.scale.copy_(torch.linspace(0.5, 1.5, 6)[None])
    kept = {name: value.numpy().copy() for name, value in head.state_dict().items()}
    x = drawn(9, 6).astype(np.float32)

    def formula(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        inner = x @ kept["expand.weight"].T + kept["expand.bias"]
        inner = (inner - mean) / np.sqrt(variance + 1e-5) * kept["norm.weight"] + kept["norm.bias"]
        inner = np.maximum(inner, 0) @ kept["contract.weight"].T + kept["contract.bias"]
        return kept["scale"] * inner + x

    hidden = x @ kept["expand.weight"].T + kept["expand.bias"]
    with torch.no_grad():
        trained = head.train().repair(torch.tensor(x)).numpy()
        np.testing.assert_allclose(trained, formula(hidden.mean(0), hidden.var(0)), atol=1e-5)
        running = head.norm.running_mean.numpy(), head.norm.running_var.numpy()
        np.testing.assert_allclose(running[0], 0.1 * hidden.mean(0), atol=1e-6)
        used = head.eval().repair(torch.tensor(x)).numpy()
        np.testing.assert_allclose(used, formula(*running), atol=1e-5)
        logits = head(torch.tensor(x)).numpy()
    np.testing.assert_allclose(logits, used @ kept["project.weight"].T + kept["project.bias"],
                               atol=1e-5)  # fmt: skip
