"""How FastSpeech is trained, on any corpus of speech with text; its claim of speed and control."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sonograph import weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.progress import Progress, silent
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.speak.corpus import (
    Speech,
    SpeechBatches,
    Suspicion,
    encode_with,
    in_order,
    suspicious,
)
from sonograph.registry import preset
from sonograph.systems.speak import fastspeech
from sonograph.train.trainer import TrainConfig, Trainer


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

    ming024: Adam, 4,000 updates of warm-up, batch 16, 900,000 updates. NATSpeech: AdamW 5e-4,
    constant after the warm-up, 40,000 frames a batch. The paper's is Noam's curve; the warm-up and
    the rate it reaches at its peak are kept, with a cosine after it.
    """
    if name == "fastspeech-test":
        return Recipe(batch=8).override({"train.steps": 200, "train.eval_every": 50})
    if name == "fastspeech2-mini":
        return Recipe()
    published = {"train.warmup_steps": 4000, "train.eval_every": 1000, "train.save_every": 1000}
    width = preset(name).make().to_dict()["width"]
    peak = width**-0.5 * 4000**-0.5
    if name.startswith("fastspeech2"):
        return Recipe().override(published, **{"train.steps": 900_000, "train.lr": peak})
    if name.startswith("fastspeech-natspeech"):
        more = {"train.steps": 160_000, "train.lr": 5e-4, "train.schedule": "constant"}
        return Recipe(batch=128, frames=40_000).override(published | more)
    return Recipe(batch=64, frames=40_000).override(
        published | {"train.steps": 160_000, "train.lr": peak}
    )


def configured(name: str, speech: Speech) -> fastspeech.Config:
    """A preset with the corpus' own statistics of pitch and energy, and bins that hold them."""
    config = preset(name).make()
    assert isinstance(config, fastspeech.Config)
    found = speech.statistics()
    for field, key in (("pitch", "pitch_hz"), ("energy", "energy")):
        if getattr(config, field).level == "none":
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


def train(
    name: str,
    clips: Clips,
    folder: Path,
    recipe: Recipe,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a preset on clips with text, into a folder; started again it goes on.

    `folder` holds the run (the objective with its aligner), `folder/voice` the acoustic model,
    `folder/dropped.json` the clips that were left out and why, `folder/suspicious.json` those whose
    transcripts fit their sound badly. Returns held-out losses before and after.
    """
    config = preset(name).make()
    assert isinstance(config, fastspeech.Config)
    speech = Speech.prepare(
        clips,
        config.features,
        encode_with(config.alphabet),
        folder / "measured",
        progress=progress,
    )
    learned, held_out = speech.part("train"), speech.part("valid")
    torch.manual_seed(recipe.train.seed)
    acoustic = fastspeech.build(configured(name, learned))
    with torch.no_grad():  # begins at the mean spectrum: a third of a short training otherwise
        acoustic.project.bias.copy_(torch.from_numpy(learned.mean_features()))
    model = fastspeech.Pretraining(acoustic)
    measure = measured_on(held_out if len(held_out) else learned, recipe)
    model.eval()
    with torch.no_grad():
        before = measure(model)
    batches = SpeechBatches(learned, recipe.batch, recipe.frames, recipe.train.seed, recipe.workers)
    summary = Trainer(
        model,
        lambda learner, batch, generator: learner(batch, generator),
        batches,
        folder,
        recipe.train,
        measure,
        progress,
        best=None,
    ).run()
    model.eval()
    with torch.no_grad():
        after = measure(model)
    write_lists(speech, model, folder)
    card = card_of(name, clips, speech, recipe, after, summary)
    weights.describe(folder, model.describe(), card)
    weights.save_folder(folder / "voice", model.acoustic, card)
    return {
        "loss_before": before["loss"],
        "loss_after": after["loss"],
        "before": before,
        "after": after,
        "steps": summary.steps,
        "clips_per_s": summary.clips_per_s,
    }


def measured_on(speech: Speech, recipe: Recipe) -> Callable[[nn.Module], dict[str, float]]:
    """The losses on held-out clips. They are those of the last stage of training (hard alignment,
    every loss), so that numbers of all stages can be compared.
    """
    kept = list(in_order(speech, recipe.batch, recipe.frames))

    def measure(model: Any) -> dict[str, float]:
        now = model.updates.clone()
        model.updates.fill_(2**31)
        sums: dict[str, float] = {}
        count = sum(len(batch.lengths) for batch in kept)
        for k, batch in enumerate(kept):
            found = model(batch, torch.Generator().manual_seed(k))
            for part, value in found.items():
                sums[part] = sums.get(part, 0.0) + float(value) * len(batch.lengths) / count
        model.updates.copy_(now)
        return sums

    return measure


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
    import json

    from sonograph.writing import write_whole

    lists = {"dropped.json": [dataclasses.asdict(one) for one in speech.dropped]}
    if model.aligner is not None:
        lists["suspicious.json"] = [dataclasses.asdict(one) for one in suspicions(speech, model)]
    for name, rows in lists.items():
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        write_whole(folder / name, text.encode())


def card_of(
    name: str,
    clips: Clips,
    speech: Speech,
    recipe: Recipe,
    held_out: dict[str, float],
    summary: Any,
) -> dict[str, Any]:
    """What a run folder says about itself."""
    return {
        "name": name,
        "system": "fastspeech",
        "summary": f"FastSpeech, trained on {speech.seconds / 60:.0f} min of speech",
        "data": data_of(clips),
        "clips": len(speech),
        "dropped": len(speech.dropped),
        "steps": summary.steps,
        "seconds": round(summary.seconds, 1),
        "held_out": held_out,
        "recipe": recipe.to_dict(),
        "licence": "Apache-2.0 for the weights; the licences of the data are listed with it",
    }


def fit(
    folder: Path, clips: Clips, steps: int | None, progress: Progress = silent
) -> dict[str, Any]:
    """A short real training of the smallest preset: what `tests/evidence.py` kills and starts."""
    recipe = recipe_of("fastspeech-test")
    if steps is not None:
        recipe = recipe.override({"train.steps": steps})
    return train("fastspeech-test", clips, folder, recipe, progress)
