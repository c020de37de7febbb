"""How much faster than it sounds SpecTTTra judges a song: waveform in, score out, on this machine.

Every variant at both published lengths and the baselines of the paper, of published size, weights
as they are drawn, one song at a time, in float32.

    python -m benchmarks.spectttra_model
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.timing import Row, show, speed
from sonograph.audio.feature_spec import Frontend
from sonograph.registry import build

SYSTEM = "spectttra"
KINDS = ("alpha", "beta", "gamma", "vit", "convnext")


@torch.inference_mode()
def judge(model: Any, frontend: Frontend, sound: torch.Tensor) -> torch.Tensor:
    return model(frontend(sound).values[..., : model.config.frames])


def main(repeats: int = 5) -> list[Row]:
    """A row of each kind at 5 s and at 120 s."""
    rows = []
    for length in (5, 120):
        for kind in KINDS:
            model: Any = build(f"spectttra-{kind}-{length}s").eval()
            spec = model.config.features
            sound = 0.1 * torch.randn(1, length * spec.rate_hz)
            act = partial(judge, model, Frontend(spec), sound)
            rows.append(speed(f"{kind}, {length} s", length, act, repeats))
    return rows


if __name__ == "__main__":
    show(main())
