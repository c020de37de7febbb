"""PELA's golden cases: layers of one teacher made thin, and the two losses of the repair."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sonograph.nn.thin import Thin
from sonograph.systems.adapt.pela import compressed, feature_distillation, weight_perturbation


class Layers(nn.Module):
    """The layers that a case lists, by their names."""

    def __init__(self, state: dict[str, torch.Tensor]):
        super().__init__()
        for name in (key.removesuffix(".weight") for key in state if key.endswith(".weight")):
            outputs, inputs = state[f"{name}.weight"].shape
            setattr(self, name, nn.Linear(inputs, outputs, bias=f"{name}.bias" in state))
        self.load_state_dict(state)


@torch.no_grad()
def run(case: Any, golden: Any) -> dict[str, Any]:
    settings = case.about["settings"]
    state = {
        name.removeprefix("teacher."): torch.as_tensor(value)
        for name, value in golden.published_state(case).items()
    }
    teacher = Layers(state)
    assert sum(p.numel() for p in teacher.parameters()) == case.about["parameters"]
    omit = "|".join(f"*{word}*" for word in settings["name_omit"])
    student = compressed(teacher, settings["ratio"], skip=omit)
    thin = {name: part for name, part in student.named_children() if isinstance(part, Thin)}
    assert not omit or not any(word in name for word in settings["name_omit"] for name in thin)
    x = torch.as_tensor(case.inputs["x"])
    answers: dict[str, Any] = {}
    outputs: dict[str, list[torch.Tensor]] = {"ours": [], "theirs": []}
    by_width = {x.shape[1]: x}  # a layer reads the input, or the layer before of its width
    for name, layer in student.named_children():
        dense: Any = getattr(teacher, name)
        given = by_width[dense.in_features]
        answers[f"out_{name}"] = layer(given)
        outputs["ours"].append(layer(given))
        outputs["theirs"].append(dense(given))
        by_width.setdefault(dense.out_features, layer(given))
        if name in thin:
            made = thin[name]
            answers |= {
                f"rank_{name}": [made[0].out_features],
                f"rebuilt_{name}": made.weight[::3],
                f"left_norms_{name}": made[0].weight.norm(dim=1),
                f"right_norms_{name}": made[1].weight.norm(dim=0),
            }
    dense_weights = [getattr(teacher, name).weight for name in thin]
    wp = weight_perturbation(list(thin.values()), dense_weights, settings["eps"])
    order = ("qkv", "proj", "fc1")
    names = [name for name, _ in student.named_children()]
    pick = lambda side: [outputs[side][names.index(name)] for name in order]  # noqa: E731
    return {
        **answers,
        "weight_perturbation": wp[None],
        "feature_distillation": feature_distillation(pick("ours"), pick("theirs"))[None],
        "student_parameters": [sum(p.numel() for p in student.parameters())],
    }
