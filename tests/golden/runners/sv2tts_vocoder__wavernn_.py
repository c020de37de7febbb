"""RTVC's WaveRNN: the condition, and what is said of each sample after given ones."""

from __future__ import annotations

from typing import Any

import torch

from sonograph.systems.speak import sv2tts


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    published = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    model = sv2tts.load_published(published).eval()
    settings = case.about["settings"]
    assert model.spec.hop_samples == settings["hop"]
    assert model.config.wavernn.upsampling.context == settings["pad"]
    count = sum(p.numel() for p in model.parameters())
    counted = sum(published[name].numel() for name in published if name == "step")
    assert count + counted == case.about["parameters"]  # their step is a parameter
    mel, frames = model.upsample(torch.as_tensor(case.inputs["mel"]))
    answers = {
        "upsampled_mel": mel,
        "aux": frames.repeat_interleave(model.spec.hop_samples, 1),
        "logits": model.told(torch.as_tensor(case.inputs["x"]), mel, frames),
    }
    steps = {name: rule[0] for name, rule in case.about["strides"].items()}
    return {
        name: (value.reshape(-1)[:: steps[name]] if name in steps else value).numpy()
        for name, value in answers.items()
    }
