"""What frozen embeddings know: a linear probe and nearest neighbours, both deterministic."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from sonograph.errors import InputError

# Strength of the L2 penalty on the mean loss, strongest first: ties go to the simpler probe.
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


@dataclasses.dataclass(frozen=True)
class Probe:
    """Multinomial logistic regression on standardised features."""

    mean: Float[Tensor, " features"]
    deviation: Float[Tensor, " features"]
    weight: Float[Tensor, "features classes"]
    bias: Float[Tensor, " classes"]

    def __call__(self, x: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        """Scores (log-odds up to a constant) of every class."""
        return (x.double() - self.mean) / self.deviation @ self.weight + self.bias


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """What a probe answered for the test clips."""

    accuracy: float
    scores: Float[Tensor, "n classes"]
    predicted: Int[Tensor, " n"]
    penalty: float
    inner_accuracies: dict[float, float]  # of every penalty tried, within the training clips
    probe: Probe


def linear_probe(
    train_x: Float[Tensor, "n features"],
    train_y: Int[Tensor, " n"],
    test_x: Float[Tensor, "m features"],
    test_y: Int[Tensor, " m"],
    folds: Int[Tensor, " n"] | None = None,
    penalties: tuple[float, ...] = PENALTIES,
    classes: int | None = None,
) -> ProbeResult:
    """Fit on the training clips, choose the penalty within them, and answer the test clips.

    folds: group of every training clip (fold, speaker, recording); the inner cross-validation
    leaves out one group after the other, at most ten parts. Without it five parts in turns, in the
    order of the clips of a class. The test clips take no part in any choice.
    """
    _check(train_x, train_y, test_x, test_y)
    classes = classes or int(max(train_y.max(), test_y.max())) + 1
    parts = _inner_parts(train_y, folds)
    ordered = sorted(penalties, reverse=True)
    inner: dict[float, float] = {}
    if len(ordered) > 1:
        right = dict.fromkeys(ordered, 0)
        for part in parts.unique():
            held = parts == part
            path = fit_path(train_x[~held], train_y[~held], classes, ordered)
            for penalty, probe in zip(ordered, path):
                right[penalty] += int((probe(train_x[held]).argmax(1) == train_y[held]).sum())
        inner = {penalty: count / len(train_y) for penalty, count in right.items()}
    penalty = max(ordered, key=lambda p: (inner.get(p, 0.0), p))
    probe = fit_path(train_x, train_y, classes, [penalty])[0]
    scores = probe(test_x)
    predicted = scores.argmax(1)
    accuracy = float((predicted == test_y).double().mean())
    return ProbeResult(accuracy, scores, predicted, penalty, inner, probe)


def fit_path(
    x: Float[Tensor, "n features"], y: Int[Tensor, " n"], classes: int, penalties: list[float]
) -> list[Probe]:
    """A probe for every penalty, each fit begun from the last: mean cross-entropy +
    penalty / 2 * |weight|^2, by L-BFGS in float64 to a gradient below 1e-6."""
    x = x.double()
    mean, deviation = x.mean(0), x.std(0, unbiased=False)
    deviation = torch.where(deviation > 1e-12, deviation, torch.ones_like(deviation))
    inputs = (x - mean) / deviation
    # The best weight lies in the span of the clips, so with more features than clips the search
    # goes there: the same optimum in a fraction of the time.
    basis = torch.linalg.svd(inputs, full_matrices=False)[2].T if x.shape[1] > len(x) else None
    inputs = inputs if basis is None else inputs @ basis
    weight = torch.zeros(inputs.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    found = []
    for penalty in penalties:
        search = torch.optim.LBFGS(
            [weight, bias], max_iter=500, tolerance_grad=1e-6, tolerance_change=1e-12,
            history_size=20, line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure(search: torch.optim.LBFGS = search, penalty: float = penalty) -> float:
            search.zero_grad()
            loss = cross_entropy(inputs @ weight + bias, y) + penalty / 2 * weight.square().sum()
            loss.backward()
            return float(loss.detach())

        with torch.enable_grad():
            search.step(closure)
        full = weight.detach().clone() if basis is None else basis @ weight.detach()
        found.append(Probe(mean, deviation, full, bias.detach().clone()))
    return found


def knn(
    train_x: Float[Tensor, "n features"],
    train_y: Int[Tensor, " n"],
    test_x: Float[Tensor, "m features"],
    test_y: Int[Tensor, " m"],
    k: int = 5,
    temperature: float = 0.07,
) -> float:
    """Accuracy of the k nearest neighbours by cosine of standardised features.

    A neighbour's vote weighs exp(cosine / temperature) (Wu et al. 2018, section 3.4).
    """
    _check(train_x, train_y, test_x, test_y)
    train_x, test_x = train_x.double(), test_x.double()
    mean, deviation = train_x.mean(0), train_x.std(0, unbiased=False).clamp_min(1e-12)
    known = normalize((train_x - mean) / deviation, dim=1)
    asked = normalize((test_x - mean) / deviation, dim=1)
    classes = int(max(train_y.max(), test_y.max())) + 1
    right = 0
    for begin in range(0, len(asked), 1024):  # bounded memory
        near, index = (asked[begin : begin + 1024] @ known.T).topk(min(k, len(known)), dim=1)
        votes = torch.zeros(len(near), classes, dtype=torch.float64)
        votes.scatter_add_(1, train_y[index], ((near - 1) / temperature).exp())
        right += int((votes.argmax(1) == test_y[begin : begin + 1024]).sum())
    return right / len(test_y)


def _inner_parts(y: Tensor, folds: Tensor | None) -> Tensor:
    """The part of the inner cross-validation of every clip."""
    if folds is not None:
        groups, part = torch.as_tensor(folds).unique(return_inverse=True)
        if len(groups) < 2:
            raise InputError("the inner cross-validation needs at least two groups of clips")
        return part % 10
    part = torch.zeros_like(y)
    for label in y.unique():
        of_label = y == label
        part[of_label] = torch.arange(int(of_label.sum())) % 5
    return part


def _check(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> None:
    for name, x, y in (("training", train_x, train_y), ("test", test_x, test_y)):
        if x.ndim != 2 or len(x) != len(y) or not len(x):
            shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
            raise InputError(f"the {name} clips are (n, features) with n labels; got {shapes}")
        if not torch.isfinite(x).all():
            raise InputError(f"the {name} features hold NaN or infinity")
    if train_x.shape[1] != test_x.shape[1]:
        widths = f"{train_x.shape[1]} and {test_x.shape[1]}"
        raise InputError(f"training and test features differ in width: {widths}")
    if len(train_y.unique()) < 2:
        raise InputError("all training clips have one label: nothing to tell apart")
