"""What is typed for sv2tts: an encoder of speakers, a voice that imitates, its vocoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.commands.voices import Commands

VOICE = "sv2tts-mini"  # takes the vectors of the published encoder, which resemblyzer brings


def commands(folder: Path, preset: str, data: str, task: str) -> Commands:
    made, sounds = folder / "made", folder / "sounds"
    made.mkdir(exist_ok=True)
    runs = {
        name: str(folder / name) for name in ("sv2tts-encoder-test", VOICE, "sv2tts-wavernn-test")
    }
    found: Commands = [
        (["train", name, "--data", "asterisk-en", *more, "--steps", "2", "-o", run], 0)
        for (name, run), more in zip(runs.items(), (["asterisk-fr", "asterisk-it"], [], []))
    ]  # fmt: skip
    say = ["speak", "Hello there.", "-o", str(made / "out.wav")]
    voice = ["--model", runs[VOICE], "--vocoder", "voice-vocoder"]
    np.save(folder / "features.npy", np.zeros((8, 40), np.float32))  # of its toy vocoder
    through = ["--model", runs["sv2tts-wavernn-test"], "-o", str(made / "back.wav")]
    return [
        *found,
        ([*say, *voice], 0),
        ([*say, *voice, "--seed", "1", "--json"], 0),
        ([*say, *voice, "--like", str(sounds / "mono.wav")], 0),
        ([*say, *voice, "--like", str(folder / "missing.wav")], 2),
        ([*say, *voice, "--like", str(sounds / "one_sample.wav")], 2),
        ([*say, "--model", "voice", "--like", str(sounds / "mono.wav")], 2),
        (["vocode", str(folder / "features.npy"), *through, "--json"], 0),
        (["vocode", str(folder / "broken" / "cut.flac"), *through], 2),
    ]
