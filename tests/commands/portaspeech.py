"""What is typed for portaspeech."""

from __future__ import annotations

from pathlib import Path

from tests.commands.voices import Commands, speaking


def commands(folder: Path, preset: str, data: str, task: str) -> Commands:
    return speaking(folder, preset, data, "voice-vocoder", ["--pace", "1.5"])
