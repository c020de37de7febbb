"""What the trainings of all acoustic models share: what is measured, and equal data for arms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from sonograph import registry
from sonograph.audio.io import write
from sonograph.data.clips import Clip, Clips
from sonograph.outputs import Audio
from sonograph.recipes.speak.acoustic import LAST, held_out_of, learn, measured_on, prepared
from sonograph.recipes.speak.corpus import Speech
from sonograph.recipes.speak.timed import TimedBatches, timed
from sonograph.train.trainer import TrainConfig

TEXTS = ("a cat", "dogs run", "one two three", "it is", "we go home now", "so be it", "yes", "no")


@dataclasses.dataclass(frozen=True)
class Recipe:
    batch: int = 3
    frames: int = 400
    workers: int = 0
    train: TrainConfig = TrainConfig(steps=3, eval_every=0, save_every=0)


@pytest.fixture
def speech(tmp_path, monkeypatch) -> Speech:
    made = []
    for k, text in enumerate(TEXTS):
        seconds = 1.0 + 0.05 * k
        time = np.arange(round(seconds * 16000)) / 16000
        path = tmp_path / f"clip{k}.wav"
        write(path, Audio(0.2 * np.sin(900 * time)[None].astype(np.float32), 16000))
        made.append(Clip(f"clip{k}", path, seconds, 16000, text=text))
    monkeypatch.setattr("sonograph.train.trainer.draw", lambda folder: None)
    config = registry.preset("portaspeech-test").make()
    return prepared(config, Clips(made), folder=tmp_path / "kept")


class Guess(nn.Module):
    """Says one number of every frame; learns a second thing in its last stage."""

    def __init__(self) -> None:
        super().__init__()
        self.level, self.dropout = nn.Parameter(torch.zeros(())), nn.Dropout(0.5)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, batch, generator):
        noise = torch.rand((), generator=generator)
        error = (self.dropout(self.level.expand(len(batch.lengths))) - 3 - noise).square().mean()
        late = {"late": error.detach() * 0 + 1} if self.updates == LAST else {}
        return {"loss": error, "clips": torch.tensor(len(batch.lengths) * 1.0)} | late


def test_measures_are_means_over_clips_of_the_last_stage_with_equal_noise(speech):
    model = Guess().train()
    model.updates.fill_(7)
    measure = measured_on(speech, Recipe())
    found = measure(model)
    assert found == measure(model)
    assert int(model.updates) == 7
    assert found["late"] == 1
    sizes = [3, 3, 2]  # a mean over clips weighs a batch by what is in it
    assert found["clips"] == pytest.approx(sum(n * n for n in sizes) / 8)
    draws = [float(torch.rand((), generator=torch.Generator().manual_seed(k))) for k in range(3)]
    wanted = sum(n * (3 + one) ** 2 for n, one in zip(sizes, draws)) / 8
    assert found["loss"] == pytest.approx(wanted)


def test_parts_without_a_loss_are_summed_up(speech):
    found = measured_on(speech, Recipe(), lambda *_: {"a": torch.tensor(2.0), "b": 1})(Guess())
    assert found == {"loss": 3.0, "a": 2.0, "b": 1.0}


def test_learning_begins_with_what_is_learned_from_and_the_seed(speech, tmp_path):
    seen, drawn = [], []

    def begin(part: Speech) -> Guess:
        seen.append([item.id for item in part.items])
        drawn.append(float(torch.rand(())))
        return Guess()

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    done = learn(begin, speech, tmp_path / "one", Recipe())
    learn(begin, speech, tmp_path / "two", Recipe())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert drawn[0] == drawn[1]
    assert seen[0] == [item.id for item in speech.part("train").items]
    assert done.summary.steps == 3
    assert done.after["loss"] < done.before["loss"]
    assert not done.objective.training
    assert len(held_out_of(speech)) > 0


def test_arms_get_the_same_batches_with_durations(speech, tmp_path):
    corpus = timed(speech, 77, 2, 6, 800, tmp_path, lambda *_: None)
    rows = [0, 2, 3, 5, 6, 7]
    first, again = (TimedBatches(corpus, rows, 3, 500, 1) for _ in range(2))
    stream = first.start_at(0)
    ahead = [next(stream) for _ in range(4)][3]
    same = next(again.start_at(3))
    assert torch.equal(ahead.features, same.features)
    assert torch.equal(ahead.durations.sum(1), ahead.lengths)
    assert [item.id for item in corpus.only([2, 5]).items] == ["clip2", "clip5"]
    held_out = corpus.part("valid") + corpus.part("test")
    assert corpus.held_out(1) == held_out[:1]
    assert set(corpus.held_out(100)) == set(held_out)
