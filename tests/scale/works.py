"""Works that other processes can import, and sounds for them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sonograph.audio.io import read
from sonograph.errors import InputError
from sonograph.outputs import Audio
from sonograph.scale.manifest import Item, read_manifest
from sonograph.scale.work import Answer, Done, Given

RATE = 8000


@dataclass(frozen=True)
class Listening:
    """Length and level of a sound, a vector of two values, a file; a line in `heard` for each."""

    heard: str = ""
    deadly: str = ""  # the name of a sound that ends its process ...
    once: str = ""  # ... only while this file is not there
    pause_s: float = 0.0
    gate: str = ""  # while this file is there, sounds from number 9 on wait

    def settings(self) -> dict[str, Any]:
        return {"work": "listening"}

    def prepare(self) -> Answer:
        if self.deadly == "refused":
            raise InputError("there is no such model: take another")
        return self.answer

    def answer(self, given: Given) -> Done:
        import time

        if self.heard:
            with open(self.heard, "a") as file:
                file.write(f"{given.item.number} {os.getpid()}\n")
        if given.item.name == self.deadly and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            os._exit(9)
        time.sleep(self.pause_s)
        while self.gate and given.item.number >= 9 and Path(self.gate).exists():
            time.sleep(0.02)
        audio = given.sound if isinstance(given.sound, Audio) else read(given.sound)
        level = float(np.sqrt(np.square(audio.samples).mean()))
        target = given.folder / f"{given.item.name}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{level:.9f}")
        vector = np.array([audio.samples.shape[1], level], np.float32)
        return Done({"frames": audio.samples.shape[1], "level": level}, vector)


def sounds(folder: Path, count: int) -> list[Item]:
    """Short noises `00.wav` and so on, of different lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        noise = np.random.default_rng(k).uniform(-0.3, 0.3, 400 + 10 * k)
        soundfile.write(folder / f"{k:02}.wav", noise, RATE)
    return read_manifest(str(folder))
