"""What a training of a voice leaves beside its weights: lists of clips, and its card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonograph import registry, weights
from sonograph.config import Config
from sonograph.data.clips import Clips
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.speak.acoustic import Learned
from sonograph.recipes.speak.corpus import Speech
from sonograph.train.trainer import Summary
from sonograph.writing import write_whole

LICENCE = "Apache-2.0 for the weights; the licences of the data are listed with it"


def write_list(path: Path, rows: Sequence[Any]) -> None:
    """Dataclasses as a JSON list: of clips that were left out and why, of suspicious ones."""
    told = [dataclasses.asdict(row) for row in rows]
    write_whole(path, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())


def card_of(
    name: str, clips: Clips, speech: Speech, recipe: Config, done: Learned
) -> dict[str, Any]:
    """What the folder of a preset's run says about itself."""
    system = registry.system(registry.preset(name).system)
    return {
        "name": name,
        "system": system.name,
        "summary": f"{system.title.partition(':')[0]}, trained on {speech.seconds / 60:.0f} min "
        "of speech",
        "data": data_of(clips),
        "clips": len(speech),
        "dropped": len(speech.dropped),
        "steps": done.summary.steps,
        "seconds": round(done.summary.seconds, 1),
        "held_out": dict(done.after),
        "recipe": recipe.to_dict(),
        "licence": LICENCE,
    }


def leave(folder: Path, objective: Any, card: Mapping[str, Any], voice: str = "voice") -> None:
    """The run's description, and the model that speaks in a folder of its own inside it."""
    weights.describe(folder, objective.describe(), card)
    weights.save_folder(folder / voice, objective.acoustic, card)


def before_and_after(
    before: Mapping[str, float], after: Mapping[str, float], summary: Summary
) -> dict[str, Any]:
    """What a recipe's `fit` tells of a training."""
    return {
        "loss_before": before["loss"],
        "loss_after": after["loss"],
        "before": dict(before),
        "after": dict(after),
        "steps": summary.steps,
        "clips_per_s": summary.clips_per_s,
    }
