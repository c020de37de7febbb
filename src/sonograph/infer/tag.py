"""Sounds to labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sonograph.audio.feature_spec import Frontend
from sonograph.errors import InputError
from sonograph.infer.windows import Sound, name_of, seconds_of, window_batches
from sonograph.nn.heads import Tagging
from sonograph.outputs import Span, Tags
from sonograph.progress import Progress, silent


@torch.inference_mode()
def tag(model: Tagging, sound: Sound, batch: int = 8, progress: Progress = silent) -> Tags:
    """Every label with its score, and for each window of the sound what it held.

    Scores are probabilities: the mean over half-overlapping windows, each weighted by how much of
    it is sound. They sum to 1 in a model that answers with one label.
    """
    if not isinstance(model, Tagging):
        raise InputError(
            f"{getattr(model, 'name', type(model).__name__)} has no labels: adapt it first, "
            "`sonograph adapt MODEL --data labels.csv`"
        )
    encoder: Any = model.encoder  # type: ignore[attr-defined]
    frontend, frames = Frontend(encoder.spec), encoder.config.frames
    total = seconds_of(sound)
    scores, weights, spans = [], [], []
    for group in window_batches(sound, encoder.spec, frames, max(1, frames // 2), batch):
        features = frontend(group.waveform, group.lengths)
        logits = model(features.values, features.lengths)  # type: ignore[operator]
        shares = model.scores(logits).numpy()
        seconds = (group.lengths / encoder.spec.rate_hz).tolist()
        scores.append(shares)
        weights += seconds
        spans += [
            Span(start, min(start + length, total), model.labels[best], float(row[best]))
            for start, length, row, best in zip(group.start_s, seconds, shares, shares.argmax(1))
        ]
        progress(spans[-1].end_s, total)
    mean = np.average(np.concatenate(scores), axis=0, weights=weights)
    progress(total, total)
    return Tags(name_of(sound, 0), dict(zip(model.labels, map(float, mean))), tuple(spans))
