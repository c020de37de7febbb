"""Sounds to labels, with the times at which they are heard."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sonograph.audio.feature_spec import Frontend
from sonograph.errors import InputError
from sonograph.infer.windows import Sound, name_of, seconds_of, window_batches
from sonograph.nn.heads import Tagging
from sonograph.outputs import Span, Tags
from sonograph.progress import Progress, silent

SILENCE = 1e-4  # of full scale, -80 dB
GAP_S = 0.3  # a label that is heard again so soon has not ended


@dataclass(frozen=True)
class Heard:
    """What one window of a sound held.

    scores: (labels,) of the whole window, which is `seconds` long. steps: (labels, n) scores that
    follow each other from start_s to end_s, the part of the window that no neighbour covers better.
    """

    start_s: float
    end_s: float
    seconds: float
    scores: Float[np.ndarray, "labels"]
    steps: Float[np.ndarray, "labels n"]


@torch.inference_mode()
def listen(model: Tagging, sound: Sound, batch: int = 8) -> Iterator[Heard]:
    """What each half-overlapping window of a sound held, one after the other.

    Of every window the middle half counts for times, of the first and last the ends too.
    """
    require_labels(model)
    encoder: Any = model.encoder  # type: ignore[attr-defined]
    spec, frames = encoder.spec, encoder.config.frames
    frontend, hop = Frontend(spec), max(1, frames // 2)
    quarter_s = hop * spec.hop_samples / spec.rate_hz / 2
    begun_s = 0.0
    held: tuple[float, float, np.ndarray, np.ndarray] | None = None
    for group in window_batches(sound, spec, frames, hop, batch):
        features = frontend(group.waveform, group.lengths)
        scores, steps = _scores(model, features.values, features.lengths)
        if model.answer == "several":  # of which none is heard in silence, whatever was learned
            for row in (group.waveform.abs().amax(1) < SILENCE).nonzero().flatten().tolist():
                scores[row], steps[row] = 0 * scores[row], 0 * steps[row]
        seconds = (group.lengths / spec.rate_hz).tolist()
        for row, (start_s, length_s) in enumerate(zip(group.start_s, seconds)):
            if held is not None:
                yield _heard(*held, begun_s, start_s + quarter_s)
                begun_s = start_s + quarter_s
            held = start_s, length_s, scores[row], steps[row]
    if held is not None:
        yield _heard(*held, begun_s, held[0] + held[1])


def _scores(model: Any, features: torch.Tensor, lengths: torch.Tensor) -> tuple:
    """(b, labels) of windows, and of each a (labels, steps) array over its own length."""
    if not hasattr(model, "events"):
        scores = model.scores(model(features, lengths)).float().cpu().numpy()
        return scores, [row[:, None] for row in scores]
    if hasattr(model, "heard"):  # both by one pass
        logits, finer = model.heard(features, lengths)
    else:
        logits, finer = model(features, lengths), model.events(features, lengths)
    finer = finer.float().cpu()
    steps = [
        row[:, : max(1, round(row.shape[1] * int(length) / features.shape[2]))].numpy()
        for row, length in zip(finer, lengths)
    ]
    return model.scores(logits).float().cpu().numpy(), steps


def _heard(
    start_s: float,
    length_s: float,
    scores: np.ndarray,
    steps: np.ndarray,
    begin_s: float,
    end_s: float,
) -> Heard:
    """The steps of a window between two times."""
    end_s = max(begin_s, min(end_s, start_s + length_s))
    count = steps.shape[1]
    low, high = (round((t - start_s) / length_s * count) for t in (begin_s, end_s))
    low = min(max(low, 0), count - 1)
    return Heard(begin_s, end_s, length_s, scores, steps[:, low : max(high, low + 1)])


class Spans:
    """Joins steps to stretches while a sound goes by.

    Labels that exclude each other: the best one at every moment. Others: every one as long as its
    score is at least `least`, and that of the whole window too; gaps of up to GAP_S are passed
    over.
    """

    def __init__(self, labels: tuple[str, ...], exclusive: bool, least: float):
        self.labels, self.exclusive, self.least = labels, exclusive, least
        self.open: dict[int, tuple[float, float, float]] = {}  # label: start, end, best score

    def add(self, heard: Heard) -> list[Span]:
        """The stretches that have ended."""
        count = heard.steps.shape[1]
        edges = np.linspace(heard.start_s, heard.end_s, count + 1)
        if self.exclusive:
            best = heard.steps.argmax(0)
            active = np.zeros(heard.steps.shape, bool)
            active[best, np.arange(count)] = heard.steps.max(0) >= self.least
        else:
            active = (heard.steps >= self.least) & (heard.scores >= self.least)[:, None]
        done, patience = [], 0.0 if self.exclusive else GAP_S
        for label in sorted({*np.flatnonzero(active.any(1)).tolist(), *self.open}):
            for k in range(count):
                score = float(heard.steps[label, k])
                if active[label, k]:
                    start, _, top = self.open.get(label, (float(edges[k]), 0.0, 0.0))
                    self.open[label] = start, float(edges[k + 1]), max(top, score)
                elif label in self.open and edges[k + 1] - self.open[label][1] > patience:
                    done.append(self._close(label))
        return done

    def end(self) -> list[Span]:
        """The stretches that the end of the sound cuts off."""
        return [self._close(label) for label in sorted(self.open)]

    def _close(self, label: int) -> Span:
        start, end, score = self.open.pop(label)
        return Span(start, end, self.labels[label], score)


def require_labels(model: object) -> None:
    """Raise InputError for a model that has no labels to answer with."""
    if not isinstance(model, Tagging):
        raise InputError(
            f"{getattr(model, 'name', type(model).__name__)} has no labels: adapt it first, "
            "`sonograph adapt MODEL --data labels.csv`"
        )


def least_of(model: Tagging, least: float | None) -> float:
    """How sure a model must be of a label: as asked, else 0.5 where each label stands alone."""
    if least is not None:
        return least
    return 0.5 if model.answer == "several" else 0.0


def tag(
    model: Tagging,
    sound: Sound,
    batch: int = 8,
    progress: Progress = silent,
    least: float | None = None,
) -> Tags:
    """Every label with its score, and when it was heard.

    Scores of a model that answers with one label sum to 1: the mean over windows, each weighted by
    how much of it is sound. Of one that answers with several, a label's score is that of the window
    where it is clearest. least: scores below are not known for sure (`Tags.known`) and give no
    spans; 0.5 for several, 0 for one.
    """
    require_labels(model)
    floor, exclusive = least_of(model, least), model.answer == "one"
    total = seconds_of(sound)
    scores: np.ndarray | None = None
    weight, spans = 0.0, []
    joined = Spans(model.labels, exclusive, floor)
    for heard in listen(model, sound, batch):
        share = heard.seconds * heard.scores if exclusive else heard.scores
        if scores is None:
            scores = share
        else:
            scores = scores + share if exclusive else np.maximum(scores, share)
        weight += heard.seconds
        spans += joined.add(heard)
        if heard.end_s < total:
            progress(heard.end_s, None if math.isinf(total) else total)
    spans += joined.end()
    assert scores is not None  # an empty sound is an error of reading
    clip = scores / weight if exclusive else scores
    if not math.isinf(total):
        progress(total, total)
    spans.sort(key=lambda span: (span.start_s, -span.score))
    ends = tuple(Span(s.start_s, min(s.end_s, total), s.label, s.score) for s in spans)
    return Tags(name_of(sound, 0), dict(zip(model.labels, map(float, clip))), ends, floor)
