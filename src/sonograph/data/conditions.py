"""The same clips under another recording condition: over a telephone, among other sounds."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from sonograph.audio.io import write
from sonograph.audio.resample import resample
from sonograph.data import mix
from sonograph.data.clips import Clip, Clips
from sonograph.errors import InputError
from sonograph.outputs import Audio

Change = Callable[[np.ndarray, int, Clip], np.ndarray]  # (samples, rate in Hz, clip)


def telephone(samples: np.ndarray, rate_hz: int, clip: Clip) -> np.ndarray:
    """GSM 6.10, 13 kbit/s at 8 kHz: the band and the coding of an old telephone."""
    narrow, held = resample(samples[None], rate_hz, 8000)[0], io.BytesIO()
    soundfile.write(held, np.clip(narrow, -1, 1), 8000, format="WAV", subtype="GSM610")
    held.seek(0)
    heard = resample(soundfile.read(held, dtype="float32")[0][None], 8000, rate_hz)[0]
    return mix.fit(np.pad(heard, (0, max(0, len(samples) - len(heard)))), len(samples))


SURROUNDINGS = "minetest"  # the corpus that is mixed in


class Surroundings:
    """Another recording below the sound, at 10 dB, in a loop."""

    def __init__(self, clips: Clips, rate_hz: int):
        others = clips.filter(lambda clip: clip.source == SURROUNDINGS and clip.duration_s > 2)
        if not len(others):
            raise InputError("no surroundings to mix in: run `sonograph data get minetest`")
        self.sounds = [clip.read(rate_hz) for clip in others]

    def __call__(self, samples: np.ndarray, rate_hz: int, clip: Clip) -> np.ndarray:
        place = int.from_bytes(hashlib.blake2b(clip.id.encode(), digest_size=8).digest(), "big")
        noise = mix.fit(self.sounds[place % len(self.sounds)], len(samples), place % 65_521)
        if not mix.power(samples) > 0 or not mix.power(noise) > 0:
            return samples
        return mix.at_snr(samples, noise, 10.0)[0]


def shifted(clips: Clips, folder: Path, rate_hz: int, change: Change) -> Clips:
    """The same clips under another recording condition, as files in `folder`."""
    made = []
    for number, clip in enumerate(clips):
        path = folder / f"{number}.flac"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            heard = change(clip.read(rate_hz).astype(np.float32), rate_hz, clip)
            heard = heard / max(1.0, float(np.abs(heard).max()) / 0.99)
            write(path, Audio(heard[None].astype(np.float32), rate_hz))
        frames = soundfile.info(path).frames
        made.append(
            dataclasses.replace(
                clip,
                path=path,
                start_s=0.0,
                duration_s=frames / rate_hz,
                rate_hz=rate_hz,
                channels=1,
                file_frames=frames,
            )
        )
    return Clips(made)
