"""The tagger that ships: everyday sounds, speech in six languages, music, drums; PANNs' recipe.

    sonograph data get core asterisk-moh fretsonfire-muldjord
    python -m sonograph.recipes.tag.sounds runs/panns-mini --esc path/to/ESC-10

Only sets whose licence asks for attribution or share-alike, or for nothing, are learned from. What
none of the tags fits is learned as "other", a class that the finished model does not have: it is
there so that the model knows when to say nothing.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from tyro.conf import Positional

from sonograph import weights
from sonograph.audio.feature_spec import Frontend
from sonograph.data.clips import Clip, Clips
from sonograph.data.loader import Pass
from sonograph.data.named import open_data
from sonograph.metrics.tagging import Ranking
from sonograph.progress import Line
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.tag import panns
from sonograph.registry import preset

NAME = "panns-mini"
OTHER = "other"
SETS = (
    "asterisk-en",
    "asterisk-es",
    "asterisk-fr",
    "asterisk-it",
    "asterisk-ru",
    "asterisk-moh",
    "gcin",
    "fretsonfire-muldjord",
    "sonic-pi",
    "minetest",
)
# (source, which of its labels): label -> tag; labels that are not named are OTHER
TAGS: dict[tuple[str, str], dict[str, str]] = {
    ("esc", "class"): {
        "dog_bark": "dog",
        "rooster": "rooster",
        "rain": "rain",
        "sea_waves": "sea waves",
        "baby_cry": "crying baby",
        "clock_tick": "clock",
        "person_sneeze": "sneeze",
        "helicopter": "helicopter",
        "chainsaw": "chainsaw",
        "fire_crackling": "fire",
    },
    ("minetest", "effect"): {
        "footsteps": "footsteps",
        "doors": "door",
        "fire": "fire",
        "digging": "digging",
    },
    ("sonic-pi", "sample"): {
        "drum": "drum",
        "bd": "drum",
        "sn": "drum",
        "perc": "drum",
        "elec": "electronic percussion",
        "tabla": "tabla",
        "bass": "bass",
        "loop": "drum",
    },
}
LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ru": "Russian"}
MUSIC = ("asterisk-moh", "fretsonfire-muldjord")


def tags_of(clip: Clip) -> dict[str, str] | None:
    """{"sound": tag, "language": tag} of a clip; None for one that is not learned from."""
    if clip.source.startswith("asterisk-") and clip.source not in MUSIC:
        language = LANGUAGES.get(clip.labels.get("language", ""))
        return {"sound": "speech", "language": f"speech in {language}"} if language else None
    if clip.source == "gcin":  # of its two speakers one is under a licence for programs
        mandarin = {"sound": "speech", "language": "speech in Mandarin"}
        return mandarin if clip.labels["voice"] == "gcin-5" else None
    if clip.source in MUSIC:
        return {"sound": "music"}
    for (source, task), tags in TAGS.items():
        if clip.source == source:
            return {"sound": tags.get(clip.labels.get(task, ""), OTHER)}
    return None


def tagged(clips: Clips) -> Clips:
    """The clips with these tags as their labels."""
    found = []
    for clip in clips:
        if labels := tags_of(clip):
            licence = "CC BY 3.0 (speaker 5)" if clip.source == "gcin" else clip.licence
            found.append(dataclasses.replace(clip, labels=labels, licence=licence))
    return Clips(found)


def sounds(esc: Path | None, folder: Path | None) -> tuple[Clips, Clips]:
    """(learned, held out): the test split of every set, and the fifth fold of ESC-10."""
    everything = tagged(open_data(SETS, folder))
    test = everything.split("test")
    apart = {clip.id for clip in test}
    learned = everything.filter(lambda clip: clip.id not in apart)
    if esc is None:
        return learned, test
    # of ESC-50's classes these ten are free of its non-commercial licence
    ten = [
        dataclasses.replace(clip, licence="CC BY 3.0 and CC0 (ESC-10)")
        for clip in tagged(open_data((str(esc),), folder))
    ]
    # four folds are learned from like any recordings, some held out to choose the best step
    own = [dataclasses.replace(c, split=None) for c in ten if c.split != "fold5"]
    other = [dataclasses.replace(c, split=None) for c in ten if c.split == "fold5"]
    return Clips([*learned, *own]), Clips([*test, *other])


def recipe(steps: int) -> panns.Recipe:
    """Ours: crops of two seconds, so that two cores see enough of them."""
    base = panns.recipe_of(NAME)
    train = {"train.steps": steps, "train.warmup_steps": steps // 10, "train.eval_every": 100}
    return base.override({"batch": 16, "crop_s": 2.0, "tasks": ("sound", "language"), **train})


def clear(steps: int) -> panns.Recipe:
    """What follows: no mixtures, so that the model dares to be sure of a single sound."""
    return recipe(steps).override({"batch": 24, "mixup": 0.0, "train.lr": 1e-3})


@torch.inference_mode()
def measured(model: Any, clips: Clips) -> dict[str, Any]:
    """Average precision, and precision and recall at one half, of each tag on held-out clips."""
    frontend, ranking = Frontend(model.spec), Ranking()
    seconds = model.spec.samples(model.config.frames) / model.spec.rate_hz
    told, asked = [], []
    for batch in Pass(clips, 32, seconds, model.spec.rate_hz):
        features = frontend(batch["waveform"], batch["lengths"])
        scores = model.scores(model(features.values, features.lengths))
        targets = torch.tensor(
            [[name in labels.values() for name in model.labels] for labels in batch["labels"]]
        )
        ranking.update(scores, targets)
        told.append(scores >= 0.5)
        asked.append(targets)
    said, true = torch.cat(told), torch.cat(asked)
    found = ranking.compute()
    rows = {}
    for k, name in enumerate(model.labels):
        right = int((said[:, k] & true[:, k]).sum())
        rows[name] = {
            "clips": int(true[:, k].sum()),
            "average_precision": _share(float(found.average_precisions[k]), 1),
            "precision": _share(right, int(said[:, k].sum())),
            "recall": _share(right, int(true[:, k].sum())),
        }
    silent = ~true.any(1)
    nothing = float((~said[silent].any(1)).float().mean()) if bool(silent.any()) else None
    return {"map": found.mean_average_precision, "nothing_said_of_other": nothing, "tags": rows}


def _share(part: float, whole: int) -> float | None:
    """None where there is nothing to divide by: no clip of a tag was held out, or none was said."""
    return None if not whole or math.isnan(part) else part / whole


def finished(folder: Path) -> Any:
    """The trained model with plain names of tags, and without "other"."""
    model: Any = weights.load_folder(folder)
    names = [name.split(": ", 1)[1] for name in model.labels]
    kept = [place for place, name in enumerate(names) if name != OTHER]
    config = dataclasses.replace(model.config, labels=tuple(names[k] for k in kept))
    smaller = type(model)(config)
    state = dict(model.state_dict())
    for name, value in smaller.state_dict().items():
        if value.shape != state[name].shape:  # the last layer: a row for each label
            state[name] = state[name][kept]
    smaller.load_state_dict(state)
    return smaller.eval()


@dataclasses.dataclass(frozen=True)
class Args:
    run: Positional[Path]
    """The run folder; given one that exists, training goes on."""
    esc: Path | None = None
    """A folder with ESC-10, whose first four folds are learned from."""
    steps: int = 700
    """Updates with mixtures."""
    clear_steps: int = 400
    """And then without."""
    folder: Path | None = None
    """Where fetched corpora lie."""
    output: Path | None = None
    """Where the finished model goes, else the package's bundled models."""


def main(args: Args) -> None:
    """Train, measure on what was held out, and write the model with its card."""
    learned, test = sounds(args.esc, args.folder)
    config: Any = preset(NAME).make()
    first, last = args.run / "mixed", args.run / "clear"
    panns.train(config, NAME, learned, first, recipe(args.steps), Line("mixtures"))
    mixed = weights.load_folder(first).state_dict()
    plan = clear(args.clear_steps)
    summary = panns.train(config, NAME, learned, last, plan, Line("single sounds"), mixed)
    model = finished(last)
    quality = measured(model, test)
    card = {
        "name": NAME,
        "system": "panns",
        "summary": f"Tagger of {len(model.labels)} sounds: {', '.join(model.labels)}",
        "labels": list(model.labels),
        "data": data_of(learned),
        "steps": [args.steps, summary.steps],
        "recipes": [recipe(args.steps).to_dict(), plan.to_dict()],
        "held_out": quality,
        "licence": "Apache-2.0 for the weights; the licences of the data are listed with it",
    }
    weights.save_folder(args.output or weights.BUNDLED / NAME, model, card, dtype="float16")
    for name, row in quality["tags"].items():
        told = (f"{key} {value:.3g}" for key, value in row.items() if value is not None)
        print(f"{name:24} {' '.join(told)}")
    print(f"mAP {quality['map']:.3f}; says nothing of {quality['nothing_said_of_other']} of others")


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
