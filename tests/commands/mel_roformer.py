"""What is typed for mel_roformer."""

from __future__ import annotations

from pathlib import Path

from sonograph import registry, weights
from sonograph.nn.notes import Transcriber
from tests.commands.separating import Commands, separating, songs, training


def commands(folder: Path, preset: str, data: str, task: str) -> Commands:
    run = folder / "run"
    found = training(preset, [str(songs(folder, ("vocals", "rest")))], run)
    found += separating(folder, run, "vocals")
    found.append((["train", preset, "--data", data, "-o", str(folder / "none")], 2))  # no stems
    return found + transcribing(folder, preset)


def transcribing(folder: Path, preset: str) -> Commands:
    """Notes of all kinds of sounds, with a head that learned nothing."""
    hears, sounds = folder / "hears", folder / "sounds"
    model = Transcriber(registry.build(preset))
    weights.save_folder(hears, model, {"name": "notes"})
    words, through = ["transcribe-notes"], ["--model", str(hears)]
    found: Commands = [
        ([*words, str(sounds / kind), *through], 0)
        for kind in ("mono.wav", "low.ogg", "stereo.flac", "one_sample.wav")
    ]
    file = str(sounds / "mono.wav")
    found += [
        ([*words, file, *through, "-o", str(folder / "notes.mid")], 0),
        ([*words, str(sounds), *through, "-o", str(folder / "notes.csv")], 0),
        ([*words, file, *through, "--json", "--least", "0.1"], 0),
        ([*words, str(sounds), *through, "-o", str(folder / "all.mid")], 2),
        ([*words, file, *through, "--least", "7"], 2),
        ([*words, file, "--model", "ssast-mini"], 2),
        ([*words, str(folder / "broken" / "text.wav"), *through], 2),
    ]
    return found
