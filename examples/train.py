"""Pre-train an encoder on sounds that are made here, stop, go on, and use it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import sonograph as sound
from sonograph.data.clips import Clips
from sonograph.infer.embed import embed
from sonograph.recipes.represent.ssast import pretrain, recipe_of


def recordings(folder: Path) -> Clips:
    """Twelve files of a second: tones that glide."""
    draw, time_s = np.random.default_rng(0), np.arange(16_000) / 16_000
    folder.mkdir()
    for n in range(12):
        low, high = draw.uniform(200, 3000, 2)
        wave = 0.2 * np.sin(2 * np.pi * (low * time_s + (high - low) * time_s**2 / 2))
        sound.Audio(wave, 16_000).write(folder / f"{n}.wav")
    return Clips.open(folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        clips = recordings(Path(place) / "sounds")
        recipe = recipe_of("ssast-test").override({"batch": 4, "train.steps": 6})
        for steps in (3, 6):  # the second call goes on where the first one stopped
            recipe = recipe.override({"train.steps": steps})
            done = pretrain("ssast-test", clips, Path(place) / "run", recipe)
            print(f"{done.steps} steps, loss {done.last['loss']:.2f}")
        print(embed(sound.load(Path(place) / "run"), clips[0].path).values.shape)


if __name__ == "__main__":
    main()
