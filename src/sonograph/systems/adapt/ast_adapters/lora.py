"""LoRA: a low-rank change beside chosen layers, and the layout in which peft keeps it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Adapted, Method, add
from sonograph.nn.lowrank import LowRank
from sonograph.nn.targets import matrix_of, ranks_of, select
from sonograph.registry import register_method


@dataclasses.dataclass(frozen=True)
class LoRA(Method):
    """A low-rank change beside chosen layers learns: y = W x + b + (alpha / rank) B A x.

    where: which layers, see `nn.targets.select`; a layer too thin for the rank takes what fits, at
    the scale of the others. Hu et al. 2021, section 4.1. PETL_AST scales by alpha / reduction
    instead, where the rank is width / reduction: give `scale` to have that.
    """

    size: ClassVar[str] = "rank"

    rank: int = 8
    alpha: float = 16.0
    scale: float | None = None  # alpha / rank, unless given
    where: str = ""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"LoRA's rank is {self.rank}: it is at least 1")

    def insert(self, encoder: nn.Module) -> None:
        scale = self.alpha / self.rank if self.scale is None else self.scale
        chosen = select(encoder, self.where)
        for target, rank in zip(chosen, ranks_of(encoder, chosen, self.rank)):
            add(encoder, target, "lora", LowRank(matrix_of(encoder, target), rank, scale))


@register_method("lora", system="ast_adapters", note="low rank, on queries and values")
def lora() -> LoRA:
    return LoRA()


@register_method("lora-64", system="ast_adapters", trained=442_368, note="published: width 12")
def lora_64() -> LoRA:
    return LoRA(rank=12, scale=8 / 64)


@register_method("lora-128", system="ast_adapters", trained=221_184, note="published: width 6")
def lora_128() -> LoRA:
    return LoRA(rank=6, scale=8 / 128)


# --- peft's layout -------------------------------------------------------------------------------

PREFIX = "base_model.model."


def to_peft(
    model: nn.Module, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, adapter_config.json) that `peft.PeftModel.from_pretrained(base, folder)` reads.

    state: `delta_state(model)` of a model that LoRA alone adapts. The parts of a fused layer become
    one delta of the whole layer: their A stacked, their B in blocks of rows and columns, so the
    rank is that of all of them and alpha grows with it.
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
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": common,
        "lora_alpha": next(iter(alphas.values())),
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(ranks),
        "rank_pattern": {name: rank for name, rank in ranks.items() if rank != common},
        "alpha_pattern": {name: alphas[name] for name, rank in ranks.items() if rank != common},
        "modules_to_save": ["head"],
    }
    return {name: value.contiguous() for name, value in found.items()}, config


def from_peft(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The delta's state of `model`, which LoRA alone adapts, from what `to_peft` made."""
    state = {}
    for key, value in tensors.items():
        name = key.removeprefix(PREFIX)
        if ".lora_" not in name:
            state[name] = value
            continue
        place, _, which = name.removesuffix(".weight").rpartition(".")
        layer = model.get_submodule(place)
        assert isinstance(layer, Adapted)
        first = 0
        for part, addition in layer.additions.items():
            last = first + len(addition.down)  # type: ignore[arg-type]
            rows = slice(*(layer.rows[part] or (None,)))
            kept = value.flatten(1)[first:last] if which == "lora_A" else (
                value.flatten(1)[rows, first:last]
            )  # fmt: skip
            state[f"{place}.additions.{part}.{'down' if which == 'lora_A' else 'up'}"] = kept
            first = last
    return state
