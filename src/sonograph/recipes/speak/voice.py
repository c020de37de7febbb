"""The bundled English voice: its vocoder and its acoustic model, from recorded prompts.

    python -m sonograph.recipes.speak.voice FOLDER

trains both into FOLDER/vocoder and FOLDER/acoustic; started again it goes on where it was. The
vocoder hears the same speaker in English and in Spanish, the acoustic model the English prompts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sonograph import registry
from sonograph.data.corpora import open_sets
from sonograph.progress import Line, Progress, silent
from sonograph.recipes.speak import fastspeech
from sonograph.recipes.vocode.training import ADVERSARIAL, Plan, train_vocoder

VOCODER, ACOUSTIC = "istftnet-voice", "fastspeech2-mini"
PLAN = Plan(
    regression_steps=4000,
    train=ADVERSARIAL.override(steps=2000, eval_every=250, save_every=100, epoch_steps=400),
)


def vocoder(folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Train the voice's vocoder into a folder: about an hour and a quarter on one core."""
    clips = open_sets(["asterisk-en", "asterisk-es"])
    return train_vocoder(registry.build(VOCODER), clips, folder, PLAN, progress).told()


def acoustic(folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Train the voice's acoustic model into a folder: about an hour on one core."""
    recipe = fastspeech.recipe_of(ACOUSTIC).override(
        {"train.steps": 2500, "train.save_every": 100, "train.eval_every": 500}
    )
    return fastspeech.train(ACOUSTIC, open_sets(["asterisk-en"]), folder, recipe, progress)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=["vocoder", "acoustic"], help="one part of it")
    given = parser.parse_args(arguments)
    for name, make in (("vocoder", vocoder), ("acoustic", acoustic)):
        if given.only in (None, name):
            print(name, make(given.folder / name, Line(name)))


if __name__ == "__main__":
    main()
