"""How FastSpeech is trained, on any corpus of speech with text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.progress import Progress, silent
from sonograph.recipes.speak.acoustic import Learned, learn, prepared
from sonograph.recipes.speak.corpus import Speech, Suspicion, suspicious
from sonograph.recipes.speak.left import before_and_after, card_of, leave, write_list
from sonograph.registry import preset
from sonograph.systems.speak import fastspeech
from sonograph.systems.speak.fastspeech.variance import WaveletPitch
from sonograph.train.trainer import Summary, TrainConfig


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Training of one preset."""

    batch: int = 16
    frames: int = 5000  # the most of one batch, padding counted
    workers: int = 0
    train: TrainConfig = TrainConfig(
        steps=4000,
        lr=1e-3,
        betas=(0.9, 0.98),
        epsilon=1e-9,
        weight_decay=1e-6,
        clip_norm=1.0,
        schedule="cosine",
        warmup_steps=200,
        lr_floor=0.05,
        eval_every=250,
        save_every=250,
        log_every=25,
    )


def recipe_of(name: str) -> Recipe:
    """The recipe that belongs to a preset: ours of small ones, the published schedules otherwise.

    ming024: Adam with Noam's curve, times 0.3 after 300,000, 400,000 and 500,000 updates, batch 16,
    900,000 updates. NATSpeech: AdamW at 5e-4, constant after the warm-up, 40,000 frames a batch.
    The paper and xcmyz: Adam with Noam's curve.
    """
    if name.endswith("-test"):
        return Recipe(batch=8).override({"train.steps": 200, "train.eval_every": 50})
    if name in ("fastspeech2-mini", "fastspeech2-wavelet-mini"):
        return Recipe()
    width = preset(name).make().to_dict()["width"]
    published = {
        "train.optimizer": "adam",
        "train.lr": width**-0.5 * 4000**-0.5,
        "train.schedule": "rsqrt",
        "train.warmup_steps": 4000,
        "train.eval_every": 1000,
        "train.save_every": 1000,
    }
    steps = {"train.steps": 160_000}
    if name.endswith("natspeech"):
        more = {"optimizer": "adamw", "lr": 5e-4, "schedule": "constant", "weight_decay": 0.0}
        more = {f"train.{key}": value for key, value in (more | {"epsilon": 1e-8}).items()}
        return Recipe(batch=128, frames=40_000).override(published | more | steps)
    if name.startswith("fastspeech2"):
        more = {"train.steps": 900_000, "train.weight_decay": 0.0, "train.lr_decay": 0.3}
        bounds = {"train.decay_at": (300_000, 400_000, 500_000)}
        return Recipe().override(published | more | bounds)
    return Recipe(batch=64, frames=40_000).override(published | steps)


def configured(name: str, speech: Speech) -> fastspeech.Config:
    """A preset with the corpus' own statistics of pitch and energy, and bins that hold them."""
    config = preset(name).make()
    assert isinstance(config, fastspeech.Config)
    found = speech.statistics()
    for field, key in (("pitch", "pitch_hz"), ("energy", "energy")):
        if getattr(config, field).level == "none":
            continue
        if field == "pitch" and config.pitch_code != "bins":  # those codes need no statistics
            continue
        mean, deviation = found[key]
        low = max(-mean / deviation, -4.0) if deviation > 0 else -4.0
        config = config.override(
            {
                f"{field}.mean": mean,
                f"{field}.deviation": deviation,
                f"{field}.low": low,
                f"{field}.high": 4.0,
            }
        )
    return config


NEXT = '`sonograph speak "Good morning." -o hello.wav --model {0}`'  # when it is trained


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
    name: str,
    clips: Clips,
    folder: Path,
    recipe: Recipe,
    progress: Progress = silent,
) -> Learned:
    """Train a preset on clips with text, into a folder; started again it goes on.

    `folder` holds the run (the objective with its aligner), `folder/voice` the acoustic model,
    `folder/dropped.json` the clips that were left out and why, `folder/suspicious.json` those whose
    transcripts fit their sound badly.
    """
    config = preset(name).make()
    assert isinstance(config, fastspeech.Config)
    speech = prepared(config, clips, progress)
    done = learned(name, speech, folder, recipe, progress)
    write_lists(speech, done.objective, folder)
    leave(folder, done.objective, card_of(name, clips, speech, recipe, done))
    return done


def learned(name: str, speech: Speech, folder: Path, recipe: Recipe, progress: Progress) -> Learned:
    """One run on a corpus that is ready."""

    def begin(part: Speech) -> fastspeech.Pretraining:
        acoustic = fastspeech.build(configured(name, part))
        with torch.no_grad():  # begins at the mean spectrum: a third of a short training otherwise
            acoustic.project.bias.copy_(torch.from_numpy(part.mean_features()))
        pitch = getattr(acoustic, "pitch", None)
        if isinstance(pitch, WaveletPitch):
            pitch.begin_at(*part.statistics()["pitch_hz"])
        return fastspeech.Pretraining(acoustic)

    return learn(begin, speech, folder, recipe, progress=progress)


def scores_of(speech: Speech, model: fastspeech.Pretraining, batch: int = 16) -> np.ndarray:
    """How well text and sound of each clip agree, by the aligner, in the order of `speech`."""
    found = np.empty(len(speech))
    order = sorted(range(len(speech)), key=lambda row: speech.items[row].frames)
    for k in range(0, len(order), batch):
        rows = order[k : k + batch]
        found[rows] = model.durations_of(speech.batch(rows)).score.numpy()
    return found


def suspicions(
    speech: Speech, model: fastspeech.Pretraining, limit: float = 3.0
) -> list[Suspicion]:
    """Transcripts that fit their sound badly, worst first: to be heard and mended, or left out."""
    return suspicious(speech, scores_of(speech, model), limit)


def write_lists(speech: Speech, model: fastspeech.Pretraining, folder: Path) -> None:
    """What was not learned from, and what perhaps should not have been, beside the weights."""
    write_list(folder / "dropped.json", speech.dropped)
    if model.aligner is not None:
        write_list(folder / "suspicious.json", suspicions(speech, model))


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short real training of the smallest preset: what `tests/evidence.py` kills and starts."""
    recipe = recipe_of("fastspeech-test").override({"train.log_every": 1})
    if steps is not None:
        recipe = recipe.override({"train.steps": steps, "train.save_every": max(1, steps // 5)})
    done = train("fastspeech-test", clips, folder, recipe, progress)
    return before_and_after(done.before, done.after, done.summary)
