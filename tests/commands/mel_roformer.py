"""What is typed for mel_roformer."""

from __future__ import annotations

from pathlib import Path

from tests.commands.separating import Commands, separating, songs, training


def commands(folder: Path, preset: str, data: str, task: str) -> Commands:
    run = folder / "run"
    found = training(preset, [str(songs(folder, ("vocals", "rest")))], run)
    found += separating(folder, run, "vocals")
    found.append((["train", preset, "--data", data, "-o", str(folder / "none")], 2))  # no stems
    return found
