"""Speech out of noise, and a song pulled apart, with models that come along."""

from __future__ import annotations

import numpy as np

import sonograph as sound


def main() -> None:
    speech = sound.speak("Press one for sales.").resample(16_000)
    draw = np.random.default_rng(0)
    noise = 0.02 * draw.standard_normal(speech.samples.shape).astype(np.float32)
    noisy = sound.Audio(speech.samples + noise, 16_000)
    clear = sound.enhance(noisy)  # a path does as well; clear.write("clear.wav") keeps it
    left = np.square(clear.samples - speech.samples).mean() / np.square(noise).mean()
    print(f"{clear.duration_s:.2f} s; {-10 * np.log10(left):.1f} dB less is wrong than before")

    stereo = sound.Audio(np.repeat(speech.samples, 2, axis=0), 16_000)
    parts = sound.separate(stereo, model="guitar")
    for name, part in parts.items():
        print(f"{name}: {part.channels} channels, {20 * np.log10(part.samples.std()):.0f} dB")


if __name__ == "__main__":
    main()
