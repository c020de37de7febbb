"""`sonograph speak`: text to sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class Args:
    text: Positional[str] = "-"
    """What to say, plain or as SSML (<speak>...); - reads standard input as it comes."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The sound file to write; - sends 16-bit mono samples to a pipe, sentence by sentence."""
    file: Path | None = None
    """Say the text of this file instead."""
    model: str = "voice"
    """A bundled name, a run folder, or a hub id of a model that speaks."""
    vocoder: str | None = None
    """The vocoder, by default the one that the voice names; griffin-lim goes with any voice."""
    pace: float = 1.0
    """How fast: 2 is twice as fast, 0.5 half as fast."""
    pitch: float = 1.0
    """Factor of the pitch, where the model has one."""
    energy: float = 1.0
    """Factor of the energy, where the model has one."""
    language: str = "en"
    """Of the text."""
    timings: Path | None = None
    """Write when each word is said (.json), or subtitles (.srt, .vtt)."""
    like: Path | None = None
    """A recording of the voice to speak with, for models that can imitate."""
    seed: int = 0
    """Of what is drawn at random, for models that draw."""
    json: bool = False
    """Print JSON."""


def run(args: Args) -> int:
    import sys
    import time

    from sonograph.audio.io import read, writer
    from sonograph.errors import InputError
    from sonograph.infer.speak import Manner, open_voice
    from sonograph.progress import Line
    from sonograph.verbs import show

    if args.output is None:
        raise InputError("say where the sound goes: -o hello.wav, or -o - for a pipe")
    if args.timings and args.timings.suffix not in (".json", ".srt", ".vtt"):
        raise InputError(f"{args.timings} must end in .json, .srt or .vtt")
    manner = Manner(args.pace, args.pitch, args.energy)
    voice = open_voice(args.model, args.vocoder)
    if args.like:
        voice.imitate(read(args.like, channels="mono"))
    began = time.perf_counter()
    pipe = str(args.output) == "-"
    told, kept, first_s, lasts = [], [], 0.0, 0.0
    line = Line("speaking")
    spoken = voice.say(_text(args), manner, args.language, args.seed)
    rate = voice.spec.rate_hz
    with _Pipe(rate) if pipe else writer(args.output, rate, 1) as add:
        for said in spoken:
            add(said.audio.samples)
            lasts, first_s = said.end_s, first_s or time.perf_counter() - began
            told.append(said.to_json())
            if args.timings and args.timings.suffix != ".json":
                kept.append(said)
            line(len(told), None, f"{lasts:.1f} s of speech, {' '.join(said.text.split())[:40]}")
    took = time.perf_counter() - began
    if args.timings:
        _write_timings(args.timings, told, kept)
    summary = {
        "output": str(args.output),
        "model": args.model,
        "rate_hz": rate,
        "duration_s": lasts,
        "seconds": took,
        "first_sound_s": first_s,
        "times_real_time": lasts / took,
        "sentences": told,
    }
    if args.json:
        (sys.stderr if pipe else sys.stdout).write(show.json_text(summary))
    elif not pipe:
        print(
            f"{args.output}: {lasts:.2f} s in {len(told)} sentence{'s' * (len(told) > 1)}, "
            f"{lasts / took:.1f} times real time"
        )
    return 0


def _text(args: Args) -> str | Iterator[str]:
    """What was asked for: a text, or lines as they come."""
    import sys

    from sonograph.errors import InputError
    from sonograph.text.ssml import is_ssml

    if args.file is None and args.text != "-":
        return args.text
    if args.file is not None and args.text != "-":
        raise InputError("give a text or --file, not both")
    if args.file is None:
        return iter(sys.stdin)
    try:
        with open(args.file, encoding="utf-8") as file:
            head = file.read(1000)
        if is_ssml(head):
            return args.file.read_text(encoding="utf-8")
        return _lines(args.file)
    except OSError as error:
        raise InputError(f"{args.file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{args.file} is no UTF-8 text") from None


def _lines(path: Path) -> Iterator[str]:
    from sonograph.errors import InputError

    with open(path, encoding="utf-8") as file:
        try:
            yield from file
        except UnicodeDecodeError:
            raise InputError(f"{path} is no UTF-8 text") from None


class _Pipe:
    """16-bit samples to standard output, each block at once."""

    def __init__(self, rate_hz: int):
        self.rate_hz = rate_hz

    def __enter__(self):
        import sys

        import numpy as np

        def add(samples) -> None:
            whole = (np.clip(samples[0], -1, 1) * 32767).astype("<i2")
            sys.stdout.buffer.write(whole.tobytes())
            sys.stdout.buffer.flush()

        return add

    def __exit__(self, *_) -> None:
        return None


def _write_timings(path: Path, told: list[dict], kept: list) -> None:
    import json

    from sonograph.outputs import subtitles
    from sonograph.writing import write_whole

    if path.suffix == ".json":
        text = json.dumps({"sentences": told}, indent=1, ensure_ascii=False) + "\n"
    else:
        text = subtitles(kept, "srt" if path.suffix == ".srt" else "vtt")
    write_whole(path, text.encode())
