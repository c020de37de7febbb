"""What is typed for mossformer2: talkers, and its sibling that enhances."""

from __future__ import annotations

from pathlib import Path

from tests.commands.separating import Commands, enhancing, separating, training


def commands(folder: Path, preset: str, data: str, task: str) -> Commands:
    talkers, enhancer = folder / "talkers", folder / "enhancer"
    found = training(preset, [data], talkers)
    found += separating(folder, talkers, "talker one", steady=False)
    found += training("mossformer2-enhancer-test", [data], enhancer)
    found += enhancing(folder, enhancer)
    found.append((["enhance", str(folder / "sounds" / "mono.wav"), "--model", str(talkers)], 2))
    return found
