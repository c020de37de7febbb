"""SONICS' golden cases: SpecTTTra and its ViT, from the waveform to the loss."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from sonograph.systems.tag import spectttra


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about = case.about
    if "waveform" in case.inputs:
        waveform = torch.as_tensor(case.inputs["waveform"])
    else:
        rule = re.search(r"signal\('([^']+)', \(([^)]+)\)(?:, ([\d.]+))?\)", about["input_rule"])
        assert rule is not None
        shape = tuple(int(n) for n in rule[2].split(","))
        waveform = torch.from_numpy(golden.signal(rule[1], shape, float(rule[3] or 0.1)))
        waveform = waveform / waveform.std(1, unbiased=False, keepdim=True)
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    config, said = spectttra.config_from_published(state), about["settings"]["model"]
    assert config.size == tuple(said["input_shape"])
    assert config.num_heads == said["num_heads"]
    model = spectttra.Detector(config).eval()
    model.load_state_dict(spectttra.from_published(state))
    assert sum(p.numel() for p in model.parameters()) == about["parameters"]

    features = spectttra.published_features(waveform, config.features.override(level="keep"))
    first: dict[str, torch.Tensor] = {}
    model.encoder.blocks[0].register_forward_hook(lambda _, __, out: first.update(block0=out))
    out = model.encoder(features)
    parts = [out.values] if out.special is None else [out.values, out.special]
    logits = model.logit(features)
    synthetic = (torch.arange(len(logits)) % 2 == 0).float()
    answers = {
        "features": features,
        "block0": first["block0"],
        "encoder": torch.cat(parts, dim=1),
        "logits": logits,
        "embedding": model.vector(features),
        "bce_label_smoothing_0.02": spectttra.loss(logits, synthetic),
    }
    if config.kind == "spectttra":
        answers["tokens"] = model.encoder.tokens(features)
    rules = about["output_stride"]
    return {name: strided(value, rules.get(name, "")) for name, value in answers.items()}


def strided(values: torch.Tensor, rule: str) -> np.ndarray:
    """Every n-th entry of each axis, by a rule like "(:, slice(None, None, 6))"."""
    steps = [int(n or 1) for n in re.findall(r"slice\(None, None, (\d+)\)|:", rule)]
    return values[tuple(slice(None, None, step) for step in steps)].numpy()
