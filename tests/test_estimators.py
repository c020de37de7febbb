"""scikit-learn's own checks, and what the estimators are for: sounds in, labels out."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from sonograph.errors import InputError
from sonograph.outputs import Audio

pytest.importorskip("sklearn")

from sonograph.estimators import SonographClassifier, SonographEmbedder

RATE = 16_000


def sounds(count: int, seed: int = 0) -> tuple[list[Audio], list[str]]:
    draw, time_s = np.random.default_rng(seed), np.arange(RATE // 2) / RATE
    made = []
    for n in range(count):
        tone = 0.2 * np.sin(2 * np.pi * draw.uniform(200, 2000) * time_s)
        made.append(Audio(tone if n % 2 else 0.1 * draw.standard_normal(RATE // 2), RATE))
    return made, ["noise", "tone"] * (count // 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SonographEmbedder, SonographClassifier])
def test_the_checks_of_scikit_learn(kind: type) -> None:
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(kind(pool="mean"), on_skip=None)
    assert len([one for one in results if one["status"] == "passed"]) > 40
    skipped = [one["check_name"] for one in results if one["status"] != "passed"]
    assert set(skipped) <= {"check_array_api_input"}  # an option of scipy, off


def test_vectors_are_those_of_embed(tmp_path: Path) -> None:
    import sonograph

    made, _ = sounds(4)
    found = SonographEmbedder().fit_transform(made)
    assert np.array_equal(found, sonograph.load("ssast-mini").embed(made).values)  # type: ignore[operator]
    made[0].write(tmp_path / "a.wav", "FLOAT")
    path = str(tmp_path / "a.wav")
    for same in ([path], [Path(path)], np.array([path]), made[0].samples):
        assert np.allclose(SonographEmbedder().fit_transform(same), found[:1], atol=1e-4)
    names = SonographEmbedder().fit(made).get_feature_names_out()
    assert len(names) == found.shape[1]


def test_cross_validation_in_a_pipeline() -> None:
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    made, labels = sounds(12)
    knn = make_pipeline(SonographEmbedder(), KNeighborsClassifier(1))
    assert cross_val_score(knn, made, labels, cv=3).mean() == 1
    assert cross_val_score(SonographClassifier(), made, labels, cv=3).mean() == 1


@pytest.mark.slow
def test_a_method_that_trains_and_its_copy() -> None:
    made, labels = sounds(12)
    learner = SonographClassifier(method="lora", steps=12).fit(made, labels)
    others, truth = sounds(6, seed=1)
    assert list(learner.predict(others)) == truth
    again = pickle.loads(pickle.dumps(learner))
    assert np.array_equal(again.predict_proba(others), learner.predict_proba(others))
    assert np.allclose(learner.predict_proba(others).sum(1), 1)


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        ([], [], "Expected 2D array"),
        (["a.wav", "b.wav"], ["x", "x"], "one class"),
        (["a.wav"], ["x", "y"], "do not fit"),
        (["missing.wav", "b.wav"], ["x", "y"], "does not exist"),
        (np.zeros((2, 0)), ["x", "y"], "0 feature"),
        (np.array([[np.nan, 1.0], [0, 1]]), ["x", "y"], "NaN"),
    ],
)
def test_what_cannot_be_learned_from(X: object, y: list, words: str) -> None:
    with pytest.raises((ValueError, InputError), match=words):
        SonographClassifier().fit(X, y)


def test_a_model_that_has_no_encoder() -> None:
    with pytest.raises(InputError, match="no encoder"):
        SonographEmbedder("voice").fit(sounds(2)[0])
