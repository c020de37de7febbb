"""Training of a synthesizer that is told who speaks, and of a vocoder that says sample by sample.

    train_voice("sv2tts-mini", clips, folder, recipe, listener)

Each clip is learned with its own vector, by a speaker encoder that stays as it is (Jia et al. 2018,
section 2.2); who the speakers are need not be known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonograph import registry, weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.data.loader import Batches
from sonograph.errors import InputError
from sonograph.nn.acoustic import SpeechBatch
from sonograph.progress import Progress, silent
from sonograph.recipes.pretraining import data_of, divided
from sonograph.recipes.speak.acoustic import learn, prepared, run
from sonograph.recipes.speak.corpus import Speech, SpeechBatches
from sonograph.recipes.speak.left import LICENCE, leave, write_list
from sonograph.systems.speak import sv2tts
from sonograph.train.trainer import Summary, TrainConfig

VECTORS = "speakers.safetensors"  # of the clips, in the folder of what is measured


@dataclasses.dataclass(frozen=True)
class Recipe(Config):
    """Training of one part. batch: texts, crops of sound, or windows of voices."""

    batch: int = 16
    frames: int = 5000  # the most of a batch of texts, padding counted; of one crop or window
    seconds: float = 3600.0  # of each voice, of a speaker encoder
    workers: int = 0
    train: TrainConfig = TrainConfig(
        steps=4000,
        lr=1e-3,
        weight_decay=1e-6,
        clip_norm=1.0,
        schedule="cosine",
        warmup_steps=100,
        lr_floor=0.1,
        eval_every=250,
        save_every=250,
        log_every=25,
    )


class Told:
    """Batches of texts beside the vectors of who says them; batch k is a function of k."""

    def __init__(self, batches: SpeechBatches, vectors: Mapping[str, Tensor]):
        self.batches, self.vectors = batches, vectors

    def start_at(self, k: int) -> Told:
        self.batches.start_at(k)
        return self

    def __iter__(self) -> Iterator[tuple[SpeechBatch, Tensor]]:
        k = self.batches.first
        for batch in self.batches:
            rows = self.batches.rows(k)
            ids = [self.batches.speech.items[row].id for row in rows]
            yield batch, torch.stack([self.vectors[one] for one in ids])
            k += 1


def vectors_of(
    clips: Clips,
    speech: Speech,
    listener: sv2tts.SpeakerEncoder,
    folder: Path,
    progress: Progress = silent,
) -> dict[str, Tensor]:
    """Who speaks in every clip that is learned from; kept in `folder`."""
    path, wanted = folder / VECTORS, [item.id for item in speech.items]
    kept = weights.read_tensors(path) if path.is_file() else {}
    if not set(wanted) <= kept.keys():
        by = {clip.id: clip for clip in clips}
        for number, name in enumerate(wanted):
            if name not in kept:
                kept[name] = listener.embed(by[name].read(listener.spec.rate_hz))
            progress(number + 1, len(wanted), "listening to who speaks")
        weights.write_tensors(path, kept)
    return {name: kept[name] for name in wanted}


def train_voice(
    name: str,
    clips: Clips,
    folder: Path,
    recipe: Recipe,
    listener: sv2tts.SpeakerEncoder | None = None,
    progress: Progress = silent,
) -> Summary:
    """Train a synthesizer on clips with text, into a folder; started again it goes on.

    `folder` holds the objective, `folder/voice` the synthesizer, which then speaks as the mean of
    all its speakers, `folder/dropped.json` the clips that were left out and why.

    listener: the published encoder unless given (`sv2tts.published_encoder`).
    """
    model = registry.build(name, seed=recipe.train.seed)
    measured = folder / "measured"
    speech = prepared(model.config, clips, progress, measured)
    vectors = {item.id: torch.zeros(0) for item in speech.items}
    if model.speaker:
        listener = listener or sv2tts.published_encoder()
        vectors = vectors_of(clips, speech, listener, measured, progress)
        if (size := len(next(iter(vectors.values())))) != model.speaker:
            raise InputError(
                f"the speaker encoder gives {size} numbers, {name} takes {model.speaker}"
            )
        model.voice.copy_(sv2tts.mean_speaker(list(vectors.values())))

    def begin(part: Speech) -> sv2tts.Speaking:
        if model.project.bias is not None:  # it begins at the mean spectrum
            with torch.no_grad():
                model.project.bias.copy_(torch.from_numpy(part.mean_features()))
        return sv2tts.Speaking(model)

    def step(learner: Any, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        spoken, speakers = batch
        return learner(spoken, generator, speakers if model.speaker else None)

    done = learn(  # the mean voice says what is measured: whose clips they are is open
        begin,
        speech,
        folder,
        recipe,
        progress=progress,
        step=step,
        stream=lambda batches: Told(batches, vectors),
    )
    write_list(folder / "dropped.json", speech.dropped)
    leave(folder, done.objective, card_of(name, clips, recipe, done.after))
    return dataclasses.replace(done.summary, best=done.after)


def train_sampler(
    name: str, clips: Clips, folder: Path, recipe: Recipe, progress: Progress = silent
) -> Summary:
    """Train an autoregressive vocoder on crops of sound; `folder/voice` is the vocoder."""
    model = registry.build(name, seed=recipe.train.seed)
    spec, objective = model.spec, sv2tts.Sounding(model)
    train, valid = divided(clips.filter(lambda clip: clip.duration_s >= 0.3))
    crop_s = recipe.frames * spec.hop_samples / spec.rate_hz

    def batches(some: Clips, seed: int) -> Batches:
        return Batches(
            some, recipe.batch, crop_s, spec.rate_hz, seed, recipe.workers, draw="seconds"
        )

    kept = [batches(valid, 1).batch(k) for k in range(2)]

    def measure(learner: nn.Module) -> dict[str, float]:
        found = [learner(batch) for batch in kept]
        return {key: sum(float(f[key]) for f in found) / len(found) for key in found[0]}

    stream = batches(train, recipe.train.seed)
    summary = run(objective, stream, folder, recipe.train, progress, measure)
    objective.eval()
    with torch.no_grad():
        card = card_of(name, clips, recipe, measure(objective))
    weights.describe(folder, objective.describe(), card)
    weights.save_folder(folder / "voice", model, card)
    return summary


def card_of(
    name: str, clips: Clips, recipe: Recipe, held_out: Mapping[str, float]
) -> dict[str, Any]:
    """What a folder says about itself."""
    return {
        "name": name,
        "system": "sv2tts",
        "summary": f"{name}, trained on {clips.seconds / 60:.0f} min of sound; voices are copied "
        "with consent only",
        "data": data_of(clips),
        "held_out": dict(held_out),
        "recipe": recipe.to_dict(),
        "licence": LICENCE,
    }
