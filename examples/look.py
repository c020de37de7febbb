"""What a model hears: python examples/look.py [FILE], else a tone of 1 kHz that is made here."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import sonograph as sound
from sonograph.audio.feature_spec import FeatureSpec, Frontend


def tone(folder: str) -> Path:
    """A WAV file of one second, 44.1 kHz, two channels."""
    wave = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    path = Path(folder) / "tone.wav"
    sound.Audio(np.stack([wave, wave]), 44100).write(path)
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else tone(folder)
        print(sound.info(path))
        spec = FeatureSpec()
        audio = sound.read(path, rate_hz=spec.rate_hz, channels="mono")
    features = Frontend(spec)(torch.from_numpy(audio.samples), None).values[0]
    print(f"{spec.bins} bins, {features.shape[1]} frames of {spec.hop_samples / 16:.0f} ms")
    print(f"loudest bin: {int(features.mean(1).argmax())} of {spec.bins}")


if __name__ == "__main__":
    main()
