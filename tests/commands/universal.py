"""What is typed for universal: asked by name, by example, and for all that is there."""

from __future__ import annotations

from pathlib import Path

from sonograph import registry, weights
from tests.commands.separating import Commands


def commands(folder: Path, preset: str, data: str, task: str) -> Commands:
    run, sounds, made = folder / "run", folder / "sounds", folder / "made"
    weights.save_folder(run, registry.build(preset), {"name": preset})
    known = registry.build(preset).classes
    file, through = str(sounds / "mono.wav"), ["--model", str(run), "-o", str(made)]
    found: Commands = [
        (["separate", str(sounds / kind), *through, "--query", known[0]], 0)
        for kind in ("mono.wav", "low.ogg", "stereo.flac", "one_sample.wav")
    ]
    found += [
        (["separate", file, *through, "--query", known[0], "--query", known[1], "--json"], 0),
        (["separate", file, *through, "--like", str(sounds / "low.ogg")], 0),
        (["separate", file, *through, "--auto"], 0),
        (["separate", file, *through, "--auto", "--level", "1"], 0),
        (["separate", file, *through, "--query", "no such sound"], 2),
        (["separate", file, *through, "--like", str(sounds / "one_sample.wav")], 2),
        (["separate", file, *through, "--query", known[0], "--auto"], 2),
        (["separate", file, *through], 2),
        (["separate", str(folder / "broken" / "text.wav"), *through, "--query", known[0]], 2),
    ]
    return found
