"""iSTFTNet's generator: layers, magnitude, phase and waveform."""

from __future__ import annotations

from typing import Any

import torch

from tests.golden.runners.hifi_gan_generator import model_of, thinned, watched


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    model = model_of(case, golden)
    features = torch.as_tensor(case.inputs["mel"])
    seen = watched(model)
    magnitude, phase = model.polar(model.trunk(features))
    answers = seen | {"magnitude": magnitude, "phase": phase, "waveform": model(features)}
    return {name: thinned(case, value, name) for name, value in answers.items()}
