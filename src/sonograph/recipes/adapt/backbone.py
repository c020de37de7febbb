"""The encoder that ships to be adapted: ast-mini, SSAST's mini that was then taught to tell sounds.

    sonograph data get core asterisk-moh fretsonfire-muldjord
    python -m sonograph.recipes.adapt.backbone runs/ast-mini --probe path/to/ESC-10

AST (Gong et al. 2021) is the same encoder taught with labels; adaptation papers start from it. This
one is small, and its classes are those of `recipes.tag.sounds` without ESC-10: languages, music and
a few effects. Effects of ufoai, instruments of timgm6mb, tones and announcements are not among
them, so that claims about adaptation have tasks that are new to it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from sonograph import weights
from sonograph.data.clips import Clips
from sonograph.progress import Line
from sonograph.recipes.bundle import worth
from sonograph.recipes.pretraining import data_of
from sonograph.recipes.tag.sounds import sounds
from sonograph.train.finetune import Finetune, examples_of, finetune
from sonograph.train.trainer import TrainConfig

NAME, START = "ast-mini", "ssast-mini"
TASK = "kind"
MOST = 500  # clips of a class: languages have thousands, drums a hundred

PLAN = Finetune(
    batch=24,
    train=TrainConfig(
        steps=1500,
        lr=5e-4,
        warmup_steps=150,
        weight_decay=0.05,
        clip_norm=1.0,
        save_every=100,
        log_every=50,
    ),
)


def kinds(clips: Clips) -> Clips:
    """One label a clip, the narrower one; of each class those whose id hashes lowest."""
    kept: dict[str, int] = {}
    found = []
    for clip in sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest()):
        kind = clip.labels.get("language", clip.labels["sound"])
        kept[kind] = kept.get(kind, 0) + 1
        if kept[kind] <= MOST:
            found.append(dataclasses.replace(clip, labels={TASK: kind}))
    return Clips(found)


@dataclasses.dataclass(frozen=True)
class Args:
    run: Positional[Path]
    """The run folder; given one that exists, training goes on."""
    probe: Path
    """A labelled set with published folds, like ESC-10, to measure the frozen vectors on."""
    folder: Path | None = None
    """Where fetched corpora lie."""
    output: Path | None = None
    """Where the finished model goes, else the package's bundled models."""


def main(args: Args) -> None:
    """Teach, measure, and write the encoder with its card."""
    learned, test = (kinds(clips) for clips in sounds(None, args.folder))
    encoder: Any = weights.load(START).train()
    frames = encoder.config.frames
    learn = examples_of(learned, TASK, encoder.spec, frames, progress=Line("reading"))
    known = test.filter(lambda clip: clip.labels[TASK] in learn.classes)
    check = examples_of(known, TASK, encoder.spec, frames, learn.classes)
    result = finetune(encoder, learn, check, args.run, PLAN, {"system": "ssast"}, Line("teaching"))
    assert result.measured is not None
    taught: Any = result.model.encoder
    probed = worth(taught, args.probe, Line("listening"))
    card = {
        "name": NAME,
        "system": "ssast",
        "summary": f"AST: {START}, then taught {len(learn.classes)} kinds of sound by their labels",
        "from": START,
        "learned": list(learn.classes),
        "data": data_of(learned),
        "steps": PLAN.train.steps,
        "recipe": PLAN.to_dict(),
        "parameters": sum(p.numel() for p in taught.parameters()),
        "held_out": {
            "clips": len(check),
            "accuracy_of_its_kinds": result.measured.accuracy,
        },
        "intended_use": "A start for `sonograph adapt` from few labels, and vectors of any sound.",
        "limits": (
            "Some thousand short clips, mostly studio speech: it has not heard the breadth of the "
            "world. One speaker each for most languages, so it may know voices, not languages."
        ),
        "licence": "Apache-2.0 for the weights; the licences of the data are listed with it",
        "linear_probe": probed,
    }
    weights.save_folder(args.output or weights.BUNDLED / NAME, taught, card, dtype="float16")
    print(f"{result.measured.accuracy:.1%} of its own kinds, {len(check)} held-out clips")
    for words, found in probed["measured"].items():
        print(f"{found['accuracy']:.1%}  {words} ({found['values_a_clip']} values)")


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
