"""Small requests that arrive at the same time share batches on one loaded model.

Each request runs in a thread of its own, as the verbs do; only where the model is called their
windows are joined. Nobody waits for company: what has piled up while the model was busy is the next
batch. Answers are those of the model alone, as far as padding leaves them (float noise).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sonograph.serve.answers import busy
from sonograph.serve.metrics import Metrics

MOST_WINDOWS = 8
STRETCHED = 1.25  # a window is padded to at most so much of its own length


@dataclass(eq=False)
class Call:
    """One request's windows for one function of a model."""

    key: tuple[int, str]
    function: Callable[..., Any]
    features: Any
    lengths: Any
    answer: Future


class Together:
    """One thread that works calls off, in batches."""

    def __init__(self, metrics: Metrics):
        self.metrics = metrics
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="batches", daemon=True)
        self._thread.start()

    def call(self, model: Any, name: str, features: Any, lengths: Any) -> Any:
        """`getattr(model, name)(features, lengths)`, maybe along with others' windows.

        features (b, rows, frames), lengths (b,). Raises what the model raises.
        """
        call = Call((id(model), name), getattr(model, name), features, lengths, Future())
        with self._changed:
            if self._closed:
                raise busy("the service is stopping", 5)
            self._calls.append(call)
            self._changed.notify()
        return call.answer.result()

    def close(self) -> None:
        """What waits is refused; what runs ends."""
        with self._changed:
            self._closed = True
            for call in self._calls:
                call.answer.set_exception(busy("the service is stopping", 5))
            self._calls.clear()
            self._changed.notify()

    def _serve(self) -> None:
        try:
            self._work_off()
        finally:
            self.close()  # whatever ended this thread, nobody waits for it in vain

    def _work_off(self) -> None:
        while (batch := self._next()) is not None:
            try:
                found = joined(batch)
            except BaseException as problem:
                for call in batch:
                    call.answer.set_exception(problem)
                continue
            self.metrics.count("batches_total")
            self.metrics.count("batched_windows_total", sum(len(c.features) for c in batch))
            for call, one in zip(batch, found, strict=True):
                call.answer.set_result(one)

    def _next(self) -> list[Call] | None:
        """The oldest call with others that fit to it; None at the end."""
        with self._changed:
            while not self._calls:
                if self._closed:
                    return None
                self._changed.wait()
            first = self._calls[0]
            width, windows = first.features.shape[2], 0
            chosen: list[Call] = []
            for call in self._calls:
                own = call.features.shape[2]
                near = max(own, width) <= STRETCHED * min(own, width)
                room = not chosen or windows + len(call.features) <= MOST_WINDOWS
                if call.key == first.key and near and room:
                    chosen.append(call)
                    windows += len(call.features)
            for call in chosen:
                self._calls.remove(call)
            return chosen


def joined(batch: Sequence[Call]) -> list[Any]:
    """Run calls of one function as one, and give each its part."""
    import torch

    with torch.inference_mode():
        if len(batch) == 1:
            return [batch[0].function(batch[0].features, batch[0].lengths)]
        width = max(call.features.shape[2] for call in batch)
        padded = [
            torch.nn.functional.pad(call.features, (0, width - call.features.shape[2]))
            for call in batch
        ]
        lengths = torch.cat([call.lengths for call in batch])
        found, parts, begin = batch[0].function(torch.cat(padded), lengths), [], 0
        for call in batch:
            rows = slice(begin, begin + len(call.features))
            parts.append(part(found, rows, call.features.shape[2], width))
            begin = rows.stop
        return parts


def part(found: Any, rows: slice, own: int, width: int) -> Any:
    """Some rows of logits (b, labels), of scores over time (b, labels, steps), or of tokens.

    own, width: frames of these rows and of the batch: scores over time are cut to their own.
    """
    import dataclasses

    from sonograph.nn.encoder import Tokens

    if isinstance(found, tuple):
        return tuple(part(one, rows, own, width) for one in found)
    if isinstance(found, Tokens):
        return dataclasses.replace(
            found,
            values=found.values[rows],
            mask=None if found.mask is None else found.mask[rows],
            special=None if found.special is None else found.special[rows],
        )
    if found.ndim == 3:
        return found[rows, :, : -(-found.shape[2] * own // width)]
    return found[rows]


def shared_tagger(model: Any, together: Together) -> Any:
    """A model with labels as `infer.tag` takes it, that shares its batches."""
    from sonograph.nn.heads import Tagging

    class Shared(Tagging):
        labels, answer, encoder = model.labels, model.answer, model.encoder
        scores = staticmethod(model.scores)

        def __call__(self, features: Any, lengths: Any) -> Any:
            return together.call(model, "forward", features, lengths)

    class SharedEvents(Shared):
        def events(self, features: Any, lengths: Any) -> Any:
            return together.call(model, "events", features, lengths)

    class SharedBoth(SharedEvents):
        def heard(self, features: Any, lengths: Any) -> Any:
            return together.call(model, "heard", features, lengths)

    if hasattr(model, "heard"):
        return SharedBoth()
    return (SharedEvents if hasattr(model, "events") else Shared)()


class SharedEncoder:
    """An encoder as `infer.embed` takes it, that shares its batches."""

    def __init__(self, encoder: Any, name: str, together: Together):
        self._inner, self._together = encoder, together
        self.encoder, self.name = self, name
        self.spec, self.width, self.config = encoder.spec, encoder.width, encoder.config
        self.grid = encoder.grid

    def __call__(self, features: Any, lengths: Any) -> Any:
        return self._together.call(self._inner, "forward", features, lengths)
