"""Models of the house as scikit-learn estimators, for pipelines, grids and cross-validation.

    from sonograph import SonographClassifier

    cross_val_score(SonographClassifier(), ["a.wav", "b.wav", ...], labels)
    make_pipeline(SonographEmbedder(), StandardScaler(), SVC()).fit(files, labels)

X is a sequence of paths or `Audio`, or an array (sounds, samples) of waveforms at `rate_hz`.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from sonograph.errors import InputError, missing_extra
from sonograph.outputs import Audio

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError:
    raise missing_extra("scikit-learn", "probe") from None


class _Hears(BaseEstimator):
    """Reads X, and turns it into vectors."""

    model: str
    rate_hz: int
    pool: Literal["statistics", "mean"]

    def _sounds(self, X: Any, reset: bool) -> list[Any]:
        """X as sounds that a model hears. reset: whether what X looks like is learned from it."""
        first = X[0] if isinstance(X, Sequence) and not isinstance(X, str) and len(X) else None
        if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "OU" and len(X):
            first, X = X[0], list(X)
        if isinstance(first, Audio) or (first is not None and _is_path(first)):
            return list(X)
        waves = validate_data(self, X, reset=reset, dtype=np.float64)
        return [Audio(wave.astype(np.float32), self.rate_hz) for wave in waves]

    def _vectors(self, sounds: list[Any]) -> np.ndarray:
        from sonograph import weights
        from sonograph.infer.embed import embed

        return embed(weights.load(self.model), sounds, self.pool).values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


def _is_path(value: Any) -> bool:
    import os

    return isinstance(value, str | os.PathLike)


class SonographEmbedder(TransformerMixin, _Hears):
    """Sounds to vectors (sounds, width) by an encoder that learns nothing here.

    model: a bundled name, a folder or a hub id. rate_hz: of X where it is an array. pool: mean and
    deviation over time of each frequency row, or one mean of all.
    """

    def __init__(
        self,
        model: str = "ssast-mini",
        rate_hz: int = 16_000,
        pool: Literal["statistics", "mean"] = "statistics",
    ):
        self.model = model
        self.rate_hz = rate_hz
        self.pool = pool

    def fit(self, X: Any, y: Any = None) -> SonographEmbedder:
        """Looks at the form of X; there is nothing to learn."""
        from sonograph import weights
        from sonograph.infer.embed import encoder_of

        self._sounds(X, reset=True)
        encoder = encoder_of(weights.load(self.model))
        rows = encoder.grid[0]
        self.width_ = encoder.width * (2 * rows if self.pool == "statistics" else 1)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(sounds, width) float32."""
        check_is_fitted(self, "width_")
        return self._vectors(self._sounds(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """A name for each column."""
        check_is_fitted(self, "width_")
        return np.array([f"{self.model}_{n}" for n in range(self.width_)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "width_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # vectors are float32 whatever X is
        return tags


class SonographClassifier(ClassifierMixin, _Hears):
    """Sounds to labels: a pre-trained encoder, adapted to the labels of y.

    method: "linear" is a logistic regression on the encoder's vectors of whole sounds, quick and
    as good as any where labels are few. Others are ways to adapt (`sonograph methods`: "lora",
    "adapter", "full" ...), which train for `steps` updates on the first window of each sound.
    penalty: of the logistic regression, on its squared weights.
    """

    def __init__(
        self,
        model: str = "ast-mini",
        method: str = "linear",
        rate_hz: int = 16_000,
        pool: Literal["statistics", "mean"] = "statistics",
        penalty: float = 0.1,
        steps: int = 300,
        random_state: int = 0,
    ):
        self.model = model
        self.method = method
        self.rate_hz = rate_hz
        self.pool = pool
        self.penalty = penalty
        self.steps = steps
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> SonographClassifier:
        """Learn the labels y of the sounds X."""
        if y is None:
            raise ValueError("this classifier requires y to be passed, but the target y is None")
        sounds = self._sounds(X, reset=True)
        y = column_or_1d(y, warn=True)
        if len(y) != len(sounds):
            raise ValueError(f"{len(sounds)} sounds and {len(y)} labels do not fit")
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity")
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("y has one class: two are the least to tell apart")
        if self.method == "linear":
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler

            head = LogisticRegression(C=1 / max(self.penalty, 1e-9), max_iter=1000)
            self.head_ = make_pipeline(StandardScaler(), head).fit(self._vectors(sounds), targets)
        else:
            self.adapted_ = self._adapted(sounds, targets)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(sounds, classes): how probable each of `classes_` is."""
        check_is_fitted(self, "classes_")
        sounds = self._sounds(X, reset=False)
        if self.method == "linear":
            return self.head_.predict_proba(self._vectors(sounds))
        scores = [list(self.adapted_.tag(one).scores.values()) for one in sounds]
        return np.array(scores)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each sound."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # scikit-learn tries waveforms of two samples
        return tags

    def _adapted(self, sounds: list[Any], targets: np.ndarray) -> Any:
        import torch

        from sonograph import weights
        from sonograph.infer.embed import encoder_of
        from sonograph.train.finetune import Examples, configured, finetune

        encoder = copy.deepcopy(encoder_of(weights.load(self.model)))
        values, lengths = _features(sounds, encoder)
        names = tuple(map(str, self.classes_))
        ids = tuple(str(n) for n in range(len(sounds)))
        examples = Examples(values, lengths, torch.from_numpy(targets), names, ids)
        pool: Any = "statistics" if self.pool == "statistics" else "tokens"
        config = configured(self.method, pool, self.steps, len(sounds), self.random_state)
        with tempfile.TemporaryDirectory(prefix="sonograph-fit-") as folder:
            return finetune(encoder, examples, None, f"{folder}/run", config).model


def _features(sounds: list[Any], encoder: Any) -> tuple[Any, Any]:
    """The first window of each sound: features (n, rows, frames) and their valid frames."""
    import torch

    from sonograph.audio.feature_spec import Frontend
    from sonograph.infer.windows import window_batches

    spec, frames, frontend = encoder.spec, encoder.config.frames, Frontend(encoder.spec)
    values, lengths = [], []
    for sound in sounds:
        group = next(iter(window_batches(sound, spec, frames, frames, 1)), None)
        if group is None:
            raise InputError(f"{sound} is empty")
        with torch.no_grad():
            made = frontend(group.waveform, group.lengths)
        missing = frames - made.values.shape[2]
        values.append(torch.nn.functional.pad(made.values[:, :, :frames], (0, max(0, missing))))
        lengths.append(made.lengths.clamp(max=frames))
    return torch.cat(values), torch.cat(lengths)
