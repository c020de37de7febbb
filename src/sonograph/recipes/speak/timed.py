"""A corpus with durations that several arms of a claim learn from alike."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from sonograph.nn.acoustic import SpeechBatch
from sonograph.nn.alignment import AlignerAlone
from sonograph.progress import Progress
from sonograph.recipes.speak.acoustic import LAST, run
from sonograph.recipes.speak.corpus import Part, Speech, SpeechBatches
from sonograph.train.trainer import TrainConfig

WIDTH = 96  # of the embeddings that an aligner learns when it is alone
ALIGNER = TrainConfig(
    lr=2e-3,
    betas=(0.9, 0.98),
    weight_decay=0.0,
    clip_norm=1.0,
    schedule="constant",
    eval_every=0,
    save_every=50,
    log_every=25,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Timed:
    """A corpus with the durations of its tokens."""

    speech: Speech
    durations: tuple[Int64[Tensor, "n"], ...]

    def batch(self, rows: Sequence[int]) -> SpeechBatch:
        batch = self.speech.batch(rows)
        durations = torch.zeros_like(batch.text.ids)
        for k, row in enumerate(rows):
            durations[k, : len(self.durations[row])] = self.durations[row]
        return batch._replace(durations=durations)

    def part(self, name: Part) -> list[int]:
        """The rows of a part of the corpus."""
        kept = {item.id for item in self.speech.part(name).items}
        return [row for row, item in enumerate(self.speech.items) if item.id in kept]

    def only(self, rows: Sequence[int]) -> Speech:
        """These rows as a corpus of their own."""
        return Speech(self.speech.spec, [self.speech.items[row] for row in rows], ())

    def held_out(self, most: int) -> list[int]:
        """So many rows at the most that nothing learns from, evenly spread."""
        rows = self.part("valid") + self.part("test")
        return rows[:: max(1, -(-len(rows) // most))]


class TimedBatches:
    """Batches of a part of a corpus with durations; batch k depends on the seed and k alone."""

    def __init__(self, timed: Timed, rows: Sequence[int], batch: int, frames: int, seed: int):
        self.timed, self.rows = timed, list(rows)
        self.batches = SpeechBatches(timed.only(rows), batch, frames, seed)

    def start_at(self, k: int) -> Iterator[SpeechBatch]:
        for number in itertools.count(k):
            yield self.timed.batch([self.rows[row] for row in self.batches.rows(number)])


def timed(
    speech: Speech,
    tokens: int,
    updates: int,
    batch: int,
    frames: int,
    folder: Path,
    progress: Progress,
) -> Timed:
    """Every clip with durations, by an aligner that learned from those not held out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AlignerAlone(tokens, speech.spec.rows, WIDTH, binarise_from=LAST)
    batches = SpeechBatches(speech.part("train"), batch, frames)
    config = ALIGNER.override(steps=updates, warmup_steps=min(20, updates))
    run(model, batches, folder, config, progress)
    found: list[Tensor] = []
    with torch.no_grad():
        for row in range(len(speech)):
            one = speech.batch([row])
            found.append(model.durations(one).frames[0])
    return Timed(speech, tuple(found))
