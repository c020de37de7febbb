"""What is typed for istftnet."""

from __future__ import annotations

from pathlib import Path

from tests.commands.voices import Commands, vocoding


def commands(folder: Path, preset: str, data: str, task: str) -> Commands:
    return vocoding(folder, preset, data)
