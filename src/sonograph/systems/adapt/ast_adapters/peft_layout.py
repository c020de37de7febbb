"""What was learned as peft keeps it: `adapter_config.json` beside `adapter_model.safetensors`.

peft (read at 0.21) has LoRA, and normalisation layers that learn (LN tuning). It has nothing for
biases (its BEFT adds a shift to those of linear layers, and knows no others), for adapters or
prompts in encoders that are not transformers' own, for SVFit or for DSEE: those are kept under the
names they have here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sonograph.nn.adaptation import Adapted, Inserted
from sonograph.nn.lowrank import LowRank
from sonograph.systems.adapt.ast_adapters.lora import LoRA
from sonograph.systems.adapt.ast_adapters.selection import NORMS, Norms

PREFIX, NORM = "base_model.model.", "ln_tuning_layers"

Layout = tuple[dict[str, Tensor], dict[str, Any]]


def to_peft(model: nn.Module, state: Mapping[str, Tensor]) -> Layout | None:
    """(tensors, adapter_config.json) that `peft.PeftModel.from_pretrained(base, folder)` reads.

    state: `delta_state(model)`. None where peft has not the method, where it has no one method for
    several, and where the base is adapted itself.
    """
    inserted = [part for part in model.modules() if isinstance(part, Inserted)]
    additions = [
        one for part in inserted for one in getattr(part, "additions", {"": part}).values()
    ]
    kinds = [type(one) for one in model.adaptation]  # type: ignore[union-attr]
    if kinds == [LoRA] and all(isinstance(one, LowRank) for one in additions):
        found, config = _lora(model, state)
    elif kinds == [Norms] and not inserted:
        found, config = _norms(model, state)
    else:
        return None
    config |= {
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "modules_to_save": ["head"],
    }
    return {name: value.contiguous() for name, value in found.items()}, config


def from_peft(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The delta's state of `model`, which is adapted in the same way, from what `to_peft` made."""
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = key.removeprefix(PREFIX)
        if ".lora_" in name:
            state |= _parts_of_lora(model, name, value)
        else:
            state[name.replace(f".{NORM}.", ".")] = value
    return state


def _lora(model: nn.Module, state: Mapping[str, Tensor]) -> Layout:
    """The parts of a fused layer become one delta of the whole layer: their A stacked, their B in
    blocks of rows and columns, so the rank is that of all of them and alpha grows with it.
    """
    found: dict[str, Tensor] = {}
    layers: dict[str, list[tuple[Any, tuple[int, int] | None]]] = {}
    for name, part in model.named_modules():
        if isinstance(part, Adapted):
            layers[name] = [(part.additions[k], part.rows[k]) for k in part.additions]
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for name, parts in layers.items():
        base: Any = model.get_submodule(name).base
        outputs, *_ = base.weight.shape
        ups = []
        for addition, rows in parts:
            low, high = rows or (0, outputs)
            ups.append(nn.functional.pad(addition.up.detach(), (0, 0, low, outputs - high)))
        down = torch.cat([addition.down.detach() for addition, _ in parts])
        up = torch.cat(ups, dim=1)
        kernel = base.weight.shape[2:]
        found[f"{PREFIX}{name}.lora_A.weight"] = down.unflatten(1, (-1, *kernel))
        found[f"{PREFIX}{name}.lora_B.weight"] = up.view(
            *up.shape, *(1 for _ in base.weight.shape[2:])
        )
        ranks[name] = len(down)
        alphas[name] = parts[0][0].scale * len(down)
    for key, value in state.items():
        if ".additions." not in key:
            found[PREFIX + key] = value
    common = next(iter(ranks.values()))
    config = {
        "peft_type": "LORA",
        "r": common,
        "lora_alpha": next(iter(alphas.values())),
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(ranks),
        "rank_pattern": {name: rank for name, rank in ranks.items() if rank != common},
        "alpha_pattern": {name: alphas[name] for name, rank in ranks.items() if rank != common},
    }
    return found, config


def _parts_of_lora(model: nn.Module, name: str, value: Tensor) -> dict[str, Tensor]:
    """A or B of a layer, divided among the parts of the layer that LoRA adapts."""
    place, _, which = name.removesuffix(".weight").rpartition(".")
    layer = model.get_submodule(place)
    assert isinstance(layer, Adapted)
    state, first = {}, 0
    addition: Any
    for part, addition in layer.additions.items():
        last = first + addition.rank
        if which == "lora_A":
            state[f"{place}.additions.{part}.down"] = value.flatten(1)[first:last]
        else:
            rows = slice(*(layer.rows[part] or (None,)))
            state[f"{place}.additions.{part}.up"] = value.flatten(1)[rows, first:last]
        first = last
    return state


def _norms(model: nn.Module, state: Mapping[str, Tensor]) -> Layout:
    """Every normalisation layer of the encoder as a whole, with the statistics it may hold."""
    found, places = {}, []
    for place, module in model.encoder.named_modules(prefix="encoder"):  # type: ignore[operator, union-attr]
        if isinstance(module, NORMS) and any(True for _ in module.parameters(recurse=False)):
            places.append(place)
            for name, value in module.state_dict().items():
                found[f"{PREFIX}{place}.{NORM}.{name}"] = value
    known = {f"{PREFIX}{place}." for place in places}
    for key, value in state.items():
        if f"{PREFIX}{key.rpartition('.')[0]}." not in known:
            found[PREFIX + key] = value
    return found, {"peft_type": "LN_TUNING", "target_modules": places}
