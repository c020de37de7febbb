"""How PortaSpeech is trained: two stages of one run, on any corpus of speech with text.

Durations come from an aligner that learns along in the first stage (nn/aligner.py).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.nn.acoustic import SpeechBatch
from sonograph.progress import Progress, silent
from sonograph.recipes.speak.acoustic import Learned, learn, prepared
from sonograph.recipes.speak.corpus import Speech
from sonograph.recipes.speak.left import before_and_after, card_of, leave, write_list
from sonograph.registry import preset
from sonograph.systems.speak import portaspeech
from sonograph.systems.speak.portaspeech import Schedule
from sonograph.train.trainer import Summary, TrainConfig

# The official code's: AdamW, a warm-up and then a constant rate, 1e-3 for the post-net
PUBLISHED = TrainConfig(
    steps=320_000,
    lr=2e-4,
    lr_factors=(("*post_net*", 5.0),),
    betas=(0.9, 0.98),
    weight_decay=0.0,
    clip_norm=1.0,
    schedule="constant",
    warmup_steps=8000,
    eval_every=2000,
    save_every=1000,
    log_every=100,
)
SHORT = PUBLISHED.override(
    steps=4000, lr=1e-3, warmup_steps=100, eval_every=250, save_every=100, log_every=25
).override(lr_factors=(("*post_net*", 1.0),))
NEXT = "`sonograph speak TEXT -o OUT.wav --model {0}`"  # what to try when it is trained


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Training of one preset."""

    batch: int = 16
    frames: int = 5000  # the most of one batch, padding counted
    workers: int = 0
    voice_share: float = 0.65  # of the updates, before those of the post-net
    train: TrainConfig = SHORT

    @property
    def schedule(self) -> Schedule:
        """The published schedule, shortened to the updates that there are."""
        return Schedule().shortened(round(self.voice_share * self.train.steps))


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset: the published schedule, or ours of small ones."""
    if name == "portaspeech-normal":
        return Recipe(64, 40_000, voice_share=0.5, train=PUBLISHED)
    if name == "portaspeech-small":
        return Recipe(128, 40_000, voice_share=0.5, train=PUBLISHED)
    if name == "portaspeech-mini":
        return Recipe()
    train = SHORT.override(steps=24, warmup_steps=2, eval_every=12, save_every=4, log_every=1)
    return Recipe(batch=8, train=train)


def pretrain(
    name: str,
    clips: Clips,
    folder: str | Path,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Summary:
    """The same as `train`, for the verb: the trainer's Summary, with the held-out losses."""
    done = train(name, clips, Path(folder), recipe or recipe_of(name), progress)
    return dataclasses.replace(done.summary, best=done.after)


def train(
    name: str, clips: Clips, folder: Path, recipe: Recipe, progress: Progress = silent
) -> Learned:
    """Train a preset on clips with text, into a folder; started again it goes on.

    `folder` holds the run (the objective with its aligner), `folder/voice` the acoustic model,
    `folder/dropped.json` the clips that were left out and why. Held-out losses are those of both
    stages together.
    """
    config = preset(name).make()
    assert isinstance(config, portaspeech.Config)
    speech = prepared(config, clips, progress)

    def begin(part: Speech) -> portaspeech.Pretraining:
        model = portaspeech.Pretraining(portaspeech.build(config), recipe.schedule)
        portaspeech.begin_at(model.acoustic, *part.moments())
        return model

    done = learn(begin, speech, folder, recipe, both_stages, progress)
    write_list(folder / "dropped.json", speech.dropped)
    leave(folder, done.objective, card_of(name, clips, speech, recipe, done))
    return done


def both_stages(
    objective: portaspeech.Pretraining, batch: SpeechBatch, generator: torch.Generator
) -> dict[str, Tensor]:
    """The parts of both stages' losses."""
    return objective.voice(batch, generator) | objective.post_net(batch, generator)


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short real training of the smallest preset, in two stages; started again it goes on."""
    recipe = recipe_of("portaspeech-test")
    if steps is not None:
        recipe = recipe.override({"train.steps": steps})
    done = train("portaspeech-test", clips, folder, recipe, progress)
    return before_and_after(done.before, done.after, done.summary)
