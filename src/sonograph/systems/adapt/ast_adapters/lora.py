"""LoRA: a low-rank change beside chosen layers."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Method, add
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
