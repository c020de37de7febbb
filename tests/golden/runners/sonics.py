"""SONICS' golden cases: SpecTTTra and its ViT, from the waveform to the loss."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from sonograph.systems.tag import spectttra
from tests.golden.patches import named_signal


def waveform_of(case: Any, golden: Any) -> torch.Tensor:
    """The clips of a case: stored, or by its rule, each at its level, and louder or quieter then.

    Gains stand in the rule as "row 1 multiplied by 0.001", or as a list or dictionary of them.
    """
    if "waveform" in case.inputs:
        return torch.as_tensor(case.inputs["waveform"])
    words = case.about["input_rule"]
    waveform = named_signal(words, golden)
    if "std" in words:
        waveform = waveform / waveform.std(1, unbiased=False, keepdim=True)
    after, number = words.split("signal(", 1)[1], r"(\d[\d.e+-]*)"
    joint = r"\D{0,24}?(?:multiplied by|scaled by|times|\*|x)"
    gains = re.findall(rf"(?:row|clip)s? (\d+){joint} ?{number}", after)
    gains += [
        (str(k), gain)
        for inner in re.findall(r"\[([\d.e+, -]+)\]", after)
        for k, gain in enumerate(inner.split(","))
    ]
    gains += re.findall(rf"(\d+): {number}", "".join(re.findall(r"\{[^}]*\}", after)))
    for clip, gain in gains:
        waveform[int(clip)] *= float(gain.rstrip(".,"))
    return waveform


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about, waveform = case.about, waveform_of(case, golden)
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    said = about["settings"]["model"]
    config = spectttra.config_from_published(state, said)
    assert config.size == tuple(said["input_shape"])
    model = spectttra.Detector(config).eval()
    model.load_state_dict(spectttra.from_published(state))
    assert sum(p.numel() for p in model.parameters()) == about["parameters"]

    features = spectttra.published_features(waveform, config.features.override(level="keep"))
    seen: dict[str, torch.Tensor] = {}
    for key, place in places_of(model.encoder).items():
        place.register_forward_hook(lambda _, __, out, key=key: seen.update({key: out}))
    out = model.encoder(features)
    logits = model.logit(features)
    synthetic = (torch.arange(len(logits)) % 2 == 0).float()
    answers = {
        **seen,
        "features": features,
        "logits": logits,
        "embedding": model.vector(features),
        "bce_label_smoothing_0.02": spectttra.loss(logits, synthetic),
    }
    if config.kind in ("convnext", "efficientvit"):  # timm's encoder ends with the vector
        answers["encoder"] = answers["embedding"]
    else:
        parts = [out.values] if out.special is None else [out.values, out.special]
        answers["encoder"] = torch.cat(parts, dim=1)
    if config.kind == "spectttra":
        answers["tokens"] = model.encoder.tokens(features)
    rules = about["output_stride"]
    return {name: strided(value, rules.get(name, "")) for name, value in answers.items()}


def places_of(encoder: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Our modules by what cases call their outputs: every block, or timm's stem and stages."""
    if isinstance(encoder, spectttra.ConvNeXt):
        ends, last = {"stem": 1}, 1
        for n, depth in enumerate(encoder.config.stages):
            last += depth + 2 * (n > 0)
            ends |= {f"stage{n}": last, f"stages.{n}": last}
        return {name: encoder.steps[place] for name, place in ends.items()}
    if isinstance(encoder, spectttra.EfficientVit):
        return {"trunk": encoder.trunk}
    return {f"block{n}": block for n, block in enumerate(encoder.blocks)}


def strided(values: torch.Tensor, rule: str) -> np.ndarray:
    """Every n-th entry of each axis, by a rule like "(:, slice(None, None, 6))"."""
    steps = [int(n or 1) for n in re.findall(r"slice\(None, None, (\d+)\)|:", rule)]
    return values[tuple(slice(None, None, step) for step in steps)].numpy()
