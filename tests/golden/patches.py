"""What runners of several systems do alike: inputs, strides, counts, losses of hidden patches."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from sonograph.losses.contrastive import info_nce_in_clip
from sonograph.losses.masked import masked_reconstruction
from sonograph.nn.hiding import Hiding


def named_signal(words: str, golden: Any) -> torch.Tensor:
    """The signal that the words of a rule name: "signal('name', shape, scale)", 0.1 if no scale."""
    rule = re.search(r"signal\('([^']+)', \(([^)]*)\)(?:, ([\d.]+))?\)", words)
    assert rule, words
    shape = tuple(int(n) for n in rule[2].split(",") if n.strip())
    return torch.from_numpy(golden.signal(rule[1], shape, float(rule[3] or 0.1)))


def features_of(case: Any, golden: Any) -> torch.Tensor:
    """The input of a case, stored or by its rule, from (batch, frames, bins)."""
    if "features" in case.inputs:
        return torch.as_tensor(case.inputs["features"]).transpose(1, 2)
    return named_signal(case.about["input_rule"], golden).transpose(1, 2)


def strided(values: torch.Tensor, rule: str | None) -> np.ndarray:
    """Every n-th entry of each axis, by a rule like "(:, slice(None, None, 10))"."""
    if rule is None:
        return values.numpy()
    steps = [1] + [int(n) for n in re.findall(r"None, None, (\d+)", rule)]
    return values[tuple(slice(None, None, step) for step in steps)].numpy()


@torch.no_grad()
def pretraining_losses(case: Any, model: Any, features: torch.Tensor) -> dict[str, Any]:
    """Both halves of SSAST's objective, with the masks of the case."""
    clips = Hiding(model.encoder, features, None)
    answers: dict[str, Any] = {}
    for name, head in (("discriminative", model.discriminate), ("generative", model.generate)):
        index = torch.as_tensor(case.inputs[f"mask_index_{name}"])
        hidden = torch.zeros(clips.valid.shape, dtype=torch.bool).scatter_(1, index, True)
        prediction, target, valid = model.predict(clips, hidden, head)
        if name == "discriminative":
            loss, accuracy = info_nce_in_clip(target, prediction, valid)
            answers |= {"discriminative_loss": loss, "discriminative_accuracy": accuracy}
        else:
            answers["generative_loss"] = masked_reconstruction(prediction, target, valid)
    return answers


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def unused(published: dict[str, torch.Tensor], pretext: bool = True) -> int:
    """Weights that official files carry and never use: DeiT's heads, two shape scalars."""
    heads = [v.numel() for n, v in published.items() if re.search(r"v\.head(_dist)?\.", n)]
    return sum(heads) + (2 if pretext else 0)
