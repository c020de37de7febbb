"""Which sounds are alike? Vectors of an encoder, compared by angle.

    python examples/similar.py [MODEL]

Without a model the encoder is untrained: it tells tones from noise, and not much more.
"""

from __future__ import annotations

import sys

import numpy as np

import sonograph as sound
from sonograph.infer.embed import embed

RATE_HZ = 16000


def main() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    noise = np.random.default_rng(0)
    sounds = {
        "low tone": np.sin(2 * np.pi * 220 * time_s),
        "high tone": np.sin(2 * np.pi * 1760 * time_s),
        "noise": noise.standard_normal(RATE_HZ),
        "other noise": noise.standard_normal(RATE_HZ),
    }
    encoder = sound.load(sys.argv[1]) if len(sys.argv) > 1 else sound.build("ssast-demo").eval()
    clips = [sound.Audio(0.1 * samples, RATE_HZ) for samples in sounds.values()]
    vectors = embed(encoder, clips).values
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for name, row in zip(sounds, unit @ unit.T):
        print(f"{name:>12}", *(f"{value:6.3f}" for value in row))


if __name__ == "__main__":
    main()
