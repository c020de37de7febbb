"""Teach an encoder two classes from eight clips each: tones that rise, and tones that fall."""

from __future__ import annotations

import numpy as np
import torch

import sonograph as sound
from sonograph.audio.feature_spec import Frontend
from sonograph.nn.heads import Classifier


def sweeps(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(features, labels) of sounds of 0.6 s that are made here."""
    stream, time_s = np.random.default_rng(seed), np.arange(9600) / 16000
    labels = np.arange(count) % 2
    slope = np.where(labels, 1, -1) * stream.uniform(2000, 4000, count)
    phase = 2 * np.pi * (2000 * time_s + 0.5 * slope[:, None] * (time_s - 0.6) * time_s)
    waveform = torch.from_numpy(0.1 * np.sin(phase)).float()
    return Frontend(sound.build("ssast-test").spec)(waveform, None).values, torch.from_numpy(labels)


def main() -> None:
    torch.manual_seed(0)
    model = sound.adapt(Classifier(sound.build("ssast-test"), ["falls", "rises"]), "full")
    learning = torch.optim.AdamW(model.parameters(), lr=1e-3)
    features, labels = sweeps(16, seed=0)
    for step in range(61):
        loss = torch.nn.functional.cross_entropy(model(features, None), labels)
        learning.zero_grad(), loss.backward(), learning.step()
        if step % 20 == 0:
            print(f"step {step:3}  loss {loss.item():.3f}")
    features, labels = sweeps(64, seed=1)
    right = (model.eval()(features, None).argmax(1) == labels).float().mean()
    print(f"{right:.0%} of 64 new sounds are right")


if __name__ == "__main__":
    main()
