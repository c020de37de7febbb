"""Models of the house in scikit-learn: cross-validation on sounds that are made here."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

import sonograph as sound

RATE_HZ = 16_000


def sounds(count: int) -> tuple[list[sound.Audio], list[str]]:
    """Clicks, hums and hisses of half a second, and which is which."""
    draw, time_s = np.random.default_rng(0), np.arange(RATE_HZ // 2) / RATE_HZ
    made, kinds = [], ["click", "hum", "hiss"] * (count // 3)
    for kind in kinds:
        wave = 0.1 * draw.standard_normal(len(time_s))
        if kind == "click":
            wave *= np.exp(-80 * ((time_s - draw.uniform(0.1, 0.2)) % 0.25))
        if kind == "hum":
            wave = wave / 10 + 0.2 * np.sin(2 * np.pi * draw.uniform(80, 300) * time_s)
        made.append(sound.Audio(wave, RATE_HZ))
    return made, kinds


def main() -> None:
    files, labels = sounds(18)  # paths do as well
    nearest = make_pipeline(sound.SonographEmbedder("ssast-mini"), KNeighborsClassifier(3))
    for name, way in (("nearest", nearest), ("linear", sound.SonographClassifier("ast-mini"))):
        print(f"{name}: {cross_val_score(way, files, labels, cv=3).mean():.0%} right")


if __name__ == "__main__":
    main()
