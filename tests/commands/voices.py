"""What is typed for systems that speak or make sound of features; they differ in a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sonograph import registry

Commands = list[tuple[list[str], int]]


def vocoding(folder: Path, preset: str, data: str, steps: int = 6) -> Commands:
    """Train a vocoder, and send all kinds of sounds and features through it."""
    run, sounds, made = folder / "run", folder / "sounds", folder / "made"
    made.mkdir(exist_ok=True)
    config: Any = registry.preset(preset).make()
    rows = config.features.rows
    np.save(folder / "features.npy", np.full((rows, 40), -6.0, np.float32))
    np.save(folder / "strange.npy", np.zeros((rows + 1, 40), np.float32))
    np.save(folder / "nothing.npy", np.full((rows, 40), np.nan, np.float32))
    through = ["--model", str(run)]
    found: Commands = [
        (["train", preset, "--data", data, "--steps", str(steps), "-o", str(run)], 0),
        (["train", preset, "--data", data, "--steps", str(steps + 1), "-o", str(run)], 0),
        (["vocode", str(folder / "features.npy"), "-o", str(made / "features.wav"), *through], 0),
    ]
    for name in ("mono.wav", "low.ogg", "stereo.flac"):
        target = str(made / name)
        found.append((["vocode", str(sounds / name), "-o", target, *through, "--json"], 0))
    for source in (
        sounds / "one_sample.wav",
        folder / "strange.npy",
        folder / "nothing.npy",
        folder / "broken" / "cut.flac",
        folder / "missing.wav",
    ):
        found.append((["vocode", str(source), "-o", str(made / "none.wav"), *through], 2))
    found.append((["vocode", str(sounds / "mono.wav"), "-o", str(made / "a.xyz"), *through], 2))
    wrong = ["--model", "ssast-mini"]
    found.append((["vocode", str(sounds / "mono.wav"), "-o", str(made / "b.wav"), *wrong], 2))
    return found


def speaking(folder: Path, preset: str, data: str, vocoder: str, controls: list[str]) -> Commands:
    """Train a voice on recordings with text, and say what is easy and what is not with it.

    controls: those that it has beside none at all.
    """
    run, made = folder / "run", folder / "made"
    made.mkdir(exist_ok=True)
    (folder / "story.txt").write_text("Hello there. It costs $5.\n\nIs that so?\n")
    (folder / "bytes.txt").write_bytes(b"\xff\xfe\x00\x01")
    with_it = ["--model", str(run), "--vocoder", vocoder]
    markup = '<speak>One <break time="300ms"/> <prosody rate="slow">two</prosody>.</speak>'
    story = ["--file", str(folder / "story.txt")]

    def say(text: str, *more: str) -> list[str]:
        return ["speak", text, "-o", str(made / "out.wav"), *with_it, *more]

    found: Commands = [
        (["train", preset, "--data", data, "--steps", "6", "-o", str(run)], 0),
        (say("Good morning.", "--json"), 0),
        (say("Good morning.", *controls), 0),
        (say(markup, "--timings", str(made / "words.json")), 0),
        (["speak", *story, "-o", str(made / "story.flac"), *with_it], 0),
        (["speak", *story, "-o", str(made / "story.wav"), *with_it, "--timings",
          str(made / "story.srt")], 0),
        (["speak", *story, "-o", "-", *with_it], 0),
        (say("mm"), 0),
        (say(""), 2),
        (say("... !?"), 2),
        (say("\N{GRINNING FACE}"), 2),
        (say("привет"), 2),
        (say("Hello.", "--language", "xx"), 2),
        (say("Hello.", "--pace", "100"), 2),
        (say("<speak>One <break>"), 2),
        (["speak", "--file", str(folder / "bytes.txt"), "-o", str(made / "x.wav"), *with_it], 2),
        (["speak", "Hello.", "-o", str(made / "x.wav"), "--model", "ssast-mini"], 2),
        (["speak", "Hello.", *with_it], 2),
    ]  # fmt: skip
    return found
