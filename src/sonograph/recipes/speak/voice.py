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
from sonograph.recipes.vocode.training import ADVERSARIAL, Plan, train_vocoder

VOCODER = "istftnet-voice"
PLAN = Plan(
    regression_steps=4000,
    train=ADVERSARIAL.override(steps=2000, eval_every=250, save_every=100, epoch_steps=400),
)


def vocoder(folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Train the voice's vocoder into a folder: about an hour and a quarter on one core."""
    clips = open_sets(["asterisk-en", "asterisk-es"])
    return train_vocoder(registry.build(VOCODER), clips, folder, PLAN, progress)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    print(vocoder(given.folder / "vocoder", Line("vocoder")))


if __name__ == "__main__":
    main()
