"""Sounds that are made on the spot, and look and sound like something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
MELODY = [60, 64, 67, 72, 71, 67, 69, 65, 64, 62, 60, 67, 60]


def birds(seconds: float = 6.0, seed: int = 1) -> np.ndarray:
    """Calls that sweep, each with its partials, over a soft hiss."""
    draw = np.random.default_rng(seed)
    sound = 0.002 * draw.standard_normal(int(seconds * RATE))
    at = 0.2
    while at < seconds - 0.5:
        lasts = draw.uniform(0.15, 0.45)
        time = np.arange(int(lasts * RATE)) / RATE
        turn, low = draw.uniform(5, 14), draw.uniform(1500, 3200)
        hertz = low + draw.uniform(300, 1100) * np.sin(2 * np.pi * turn * time)
        swell = np.sin(np.pi * time / lasts) ** 0.8
        phase = 2 * np.pi * np.cumsum(hertz) / RATE
        call = swell * (0.22 * np.sin(phase) + 0.06 * np.sin(2 * phase) + 0.02 * np.sin(3 * phase))
        first = int(at * RATE)
        sound[first : first + len(call)] += call
        at += lasts + draw.uniform(0.05, 0.5)
    return sound


def melody(seconds_a_note: float = 0.55) -> np.ndarray:
    """A tune of an instrument that holds its tones, over a soft bass; two channels."""
    parts = []
    for pitch in MELODY:
        time = np.arange(int(seconds_a_note * RATE)) / RATE
        hertz = 440 * 2 ** ((pitch - 69) / 12) * (1 + 0.003 * np.sin(2 * np.pi * 5.5 * time))
        phase = 2 * np.pi * np.cumsum(hertz) / RATE
        swell = np.minimum(1, time / 0.03) * np.minimum(1, (seconds_a_note - time) / 0.06)
        tone = sum(np.sin(k * phase) / k**1.3 for k in range(1, 9))
        parts.append(0.16 * swell * tone)
    lead = np.concatenate(parts)
    time = np.arange(len(lead)) / RATE
    beat = np.exp(-6 * (time % (2 * seconds_a_note)))
    bass = 0.12 * beat * np.sin(2 * np.pi * 65.4 * time)
    return np.stack([lead + bass, 0.7 * lead + bass], 1)


def rain(seconds: float = 5.0, seed: int = 3) -> np.ndarray:
    draw = np.random.default_rng(seed)
    sound = 0.05 * draw.standard_normal(int(seconds * RATE))
    drops = draw.random(len(sound)) < 0.002
    return sound + np.convolve(
        drops * draw.uniform(0.2, 0.7, len(sound)), np.exp(-np.arange(60) / 9), "same"
    )


def speech(text: str) -> np.ndarray:
    """What the bundled voice says."""
    import sonograph

    spoken = sonograph.speak(text).resample(RATE)
    return spoken.samples[0] / max(1e-3, np.abs(spoken.samples).max()) * 0.5


def in_noise(clean: np.ndarray, level: float = 0.02, seed: int = 4) -> np.ndarray:
    """A sound in a hum and a hiss."""
    draw = np.random.default_rng(seed)
    time = np.arange(len(clean)) / RATE
    hum = sum(np.sin(2 * np.pi * 100 * k * time) / k for k in (1, 2, 3, 5))
    return clean + level * (0.5 * hum + draw.standard_normal(len(clean)))


def labelled(folder: Path, each: int = 6) -> Path:
    """A folder of two folders: whistles and drums."""
    draw = np.random.default_rng(5)
    for label in ("drum", "whistle"):
        (folder / label).mkdir(parents=True)
    time = np.arange(int(0.8 * RATE)) / RATE
    for number in range(each):
        hertz = draw.uniform(900, 2500)
        whistle = 0.3 * np.sin(2 * np.pi * hertz * time + 3 * np.sin(2 * np.pi * 6 * time))
        beats = np.exp(-25 * (time % draw.uniform(0.15, 0.3)))
        drum = 0.4 * beats * draw.standard_normal(len(time))
        soundfile.write(folder / "whistle" / f"{number}.wav", whistle, RATE)
        soundfile.write(folder / "drum" / f"{number}.wav", drum, RATE)
    (folder / "read me.txt").write_text("not a sound\n")
    return folder


def furnish(folder: Path) -> Path:
    """All of them as files; broken.wav is none."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken = speech("Good morning. Your call is important to us.")
    for name, sound in (
        ("birds.wav", birds()),
        ("evening song.flac", melody()),
        ("rain.wav", rain()),
        ("speech.wav", spoken),
        ("speech in noise.wav", in_noise(spoken)),
        ("tone.wav", 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)),
    ):
        soundfile.write(folder / name, sound, RATE)
    (folder / "broken.wav").write_bytes(b"RIFF\x10\x00\x00\x00WAVEfmt nothing of the kind")
    labelled(folder / "mine")
    return folder
