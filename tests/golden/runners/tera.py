"""TERA's golden cases: features of a padded batch, hidden states, reconstruction."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch

from sonograph.audio.feature_spec import Features
from sonograph.systems.represent import tera
from tests.golden.patches import count, named_signal


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    about = case.about
    settings = about["settings"]
    given = named_signal(about["input_rule"], golden)
    shape = given.shape
    lengths = torch.tensor(settings.get("lengths", [shape[1]] * shape[0]))
    inside = torch.arange(shape[1]) < lengths[:, None]
    given = given * (inside[..., None] if given.ndim == 3 else inside)
    state = {n: torch.as_tensor(v) for n, v in golden.published_state(case).items()}
    config = tera.config_from_published(state, settings)
    model = tera.Pretraining(tera.Tera(config)).eval()
    model.load_state_dict(tera.from_published(state))
    assert count(model.encoder) == about["parameters"]["Transformer"]
    assert count(model.head) == about["parameters"]["SpecHead"]
    assert config.alteration.noise_chance == settings["task"]["noise_proportion"]

    if given.ndim == 3:  # features that were made elsewhere, (clips, frames, rows)
        features = Features(given.transpose(1, 2), lengths)
    else:
        spec = config.features.override(level="keep")  # the case's signals are not levelled
        features = tera.published_features(given, lengths, spec)
    assert features.lengths.tolist() == settings.get("valid_frames", features.lengths.tolist())
    layers = published_layers(model.encoder, features.values, features.lengths)
    positions = torch.as_tensor(case.inputs["alter_mask"]).bool().transpose(1, 2)
    altered = tera.Altered(altered_features(case, features.values, positions), positions)
    answers = {
        "features": features.values.transpose(1, 2),
        "hidden_states": layers,
        "reconstruction_loss": model.loss(features.values, features.lengths, altered)["loss"],
        "reconstruction": model.reconstruct(altered.features, features.lengths).transpose(1, 2),
    }
    rules = about["output_stride"]
    return {name: strided(value, rules.get(name, "")) for name, value in answers.items()}


def altered_features(case: Any, features: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The case's own, with its noise where it has some, else zero at the altered positions."""
    for name in ("altered", "altered_features", "altered_input"):
        if name in case.inputs:
            return torch.as_tensor(case.inputs[name]).transpose(1, 2)
    altered = features.masked_fill(positions, 0.0)
    if "noise" in case.inputs:
        altered = altered + torch.as_tensor(case.inputs["noise"]).transpose(1, 2)
    return altered


def published_layers(
    encoder: tera.Tera, features: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Every layer; a long batch is cut where its longest clip is, not each clip by itself.

    Of a part that lies beyond a clip every frame is attended to: its mask hides all alike.
    """
    parts, begun = [], 0
    for part in features.chunk(math.ceil(features.shape[2] / encoder.config.frames), dim=2):
        size = part.shape[2]
        own = (lengths - begun).clamp(0, size)
        layers = encoder.layers(part, torch.where(own > 0, own, size))
        parts.append(torch.stack([layer.values for layer in layers]))
        begun += size
    return torch.cat(parts, dim=2)


def strided(values: torch.Tensor, rule: str) -> np.ndarray:
    """Every n-th entry of each axis, by a rule like "(:, :, slice(None, None, 6))"."""
    steps = [int(n or 1) for n in re.findall(r"slice\(None, None, (\d+)\)|:", rule)]
    return values[tuple(slice(None, None, step) for step in steps)].numpy()
