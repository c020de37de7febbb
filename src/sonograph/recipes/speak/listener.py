"""A small listener of phones that learns by CTC: who forces a text onto a recording, and who is
asked what a voice really said.

It hears some 150 ms around a frame and no further, so that it cannot guess a phone from the
sentence, and its scores stay near the sound that they are about.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.nn.acoustic import SpeechBatch
from sonograph.nn.fft_block import masked
from sonograph.nn.monotonic import Durations, forced
from sonograph.progress import Progress
from sonograph.recipes.speak.acoustic import run
from sonograph.recipes.speak.corpus import SpeechBatches
from sonograph.train.trainer import TrainConfig

STARTS = 3
LESSON = TrainConfig(
    lr=2e-3,
    betas=(0.9, 0.98),
    clip_norm=1.0,
    warmup_steps=20,
    lr_floor=0.05,
    save_every=200,
    log_every=25,
)
BLANK = 0  # number 0 is the padding of every alphabet: no token has it


class Listener(nn.Module):
    """Features to log-probabilities of tokens and the blank, frame by frame.

    mean, deviation: of each row of the features, over the recordings that it learns from.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, tokens: int, mean: Float[Tensor, " rows"], deviation: Float[Tensor, " rows"],
        width: int = 128, depth: int = 3, kernel: int = 3, dropout: float = 0.1,
    ):  # fmt: skip
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("deviation", deviation.clone())
        self.begin = nn.Conv1d(len(mean), width, kernel, padding=kernel // 2)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, tokens)

    def forward(
        self, features: Float[Tensor, "b rows t"], lengths: Int64[Tensor, "b"]
    ) -> Float[Tensor, "b t tokens"]:
        inside = torch.arange(features.shape[2], device=lengths.device) < lengths[:, None]
        x = ((features - self.mean[:, None]) / self.deviation[:, None]).transpose(1, 2)
        x = self._convolved(self.begin, x, inside).relu()
        for layer, norm in zip(self.layers, self.norms):
            x = norm(x + self.dropout(self._convolved(layer, x, inside).relu()))
        return self.project(x).log_softmax(2)

    @staticmethod
    def _convolved(layer: nn.Module, x: Tensor, inside: Tensor) -> Tensor:
        return layer(masked(x, inside).transpose(1, 2)).transpose(1, 2)

    def loss(self, batch: SpeechBatch) -> dict[str, Tensor]:
        """CTC per token, mean over the clips; a clip of too few frames counts 0."""
        heard = self(batch.features, batch.lengths)
        costs = nn.functional.ctc_loss(
            heard.transpose(0, 1), batch.text.ids, batch.lengths, batch.text.lengths, BLANK,
            reduction="none", zero_infinity=True,
        )  # fmt: skip
        return {"loss": (costs / batch.text.lengths).mean()}

    @torch.no_grad()
    def durations(self, batch: SpeechBatch) -> Durations:
        """The forced alignment of the batch's own tokens."""
        heard = self(batch.features, batch.lengths)
        return forced(heard, batch.text.ids, batch.lengths, batch.text.lengths, BLANK)

    @torch.no_grad()
    def hear(
        self, features: Float[Tensor, "b rows t"], lengths: Int64[Tensor, "b"]
    ) -> list[list[int]]:
        """The tokens that it hears: the best of each frame, repeats and blanks left out."""
        best = self(features, lengths).argmax(2)
        found = []
        for row, length in zip(best, lengths.tolist()):
            runs = torch.unique_consecutive(row[:length]).tolist()
            found.append([token for token in runs if token != BLANK])
        return found


def listen(
    make: Callable[[], Listener],
    batches: SpeechBatches,
    updates: int,
    seed: int,
    folder: Path,
    progress: Progress,
) -> Listener:
    """A listener that has learned; started again on the folder it goes on.

    It is the best of `STARTS` draws of weights, by the loss of a tenth of the updates: from about
    one draw in six CTC sinks to where all is blank, and does not come out for hundreds of updates.
    """
    config = LESSON.override(steps=updates, seed=seed, warmup_steps=min(20, updates))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = [make() for _ in range(STARTS)]
        begun = (folder / "state").is_dir()  # then the run has its weights
        listener = drawn[0] if begun else min(drawn, key=lambda one: _try(one, batches, updates))
    run(listener, batches, folder, config, progress, step=lambda one, batch, _: one.loss(batch))
    return listener.eval()


def _try(listener: Listener, batches: SpeechBatches, updates: int) -> float:
    """Learn for a tenth of the updates; the mean loss of the later half of them."""
    optimizer = torch.optim.AdamW(listener.parameters(), LESSON.lr, LESSON.betas)
    count, losses = max(2, updates // 10), []
    for k in range(count):
        loss = listener.loss(batches.batch(k))["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(listener.parameters(), LESSON.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[count // 2 :])
