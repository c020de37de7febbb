"""The methods that add nothing: they choose which weights of the model learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Method
from sonograph.registry import register_method

NORMS = (
    nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm1d,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Full(Method):
    """Everything learns."""

    changes: ClassVar[Literal["head", "delta", "encoder"]] = "encoder"
    lr: ClassVar[float] = 1e-3

    def insert(self, encoder: nn.Module) -> None:
        encoder.requires_grad_(True)


@dataclasses.dataclass(frozen=True)
class Linear(Method):
    """The head alone learns: a linear probe, trained by gradient."""

    changes: ClassVar[Literal["head", "delta", "encoder"]] = "head"
    lr: ClassVar[float] = 1e-2

    def insert(self, encoder: nn.Module) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class Norms(Method):
    """Scales and offsets of the normalisation layers learn."""

    def insert(self, encoder: nn.Module) -> None:
        _free(encoder, "normalisation layer", lambda module, name: isinstance(module, NORMS))


@dataclasses.dataclass(frozen=True)
class BitFit(Method):
    """Biases of linear and normalisation layers learn, not that of the patch convolution.

    Ben Zaken, Goldberg and Ravfogel, "BitFit" (ACL 2022), section 3; which ones as PETL_AST.
    """

    def insert(self, encoder: nn.Module) -> None:
        kinds = (nn.Linear, *NORMS)
        _free(encoder, "bias", lambda module, name: name == "bias" and isinstance(module, kinds))


@dataclasses.dataclass(frozen=True)
class ZeroPositions(Method):
    """Nothing learns; the encoder loses its positions, as every frozen method does in PETL_AST.

    For comparison with the published figures: "zero-positions+adapter". The official code builds
    the position table anew, as zeros, for another clip length, and freezes it. Here the table is
    replaced, not overwritten: other adaptations may share the encoder's weights.
    """

    changes: ClassVar[Literal["head", "delta", "encoder"]] = "head"
    lr: ClassVar[float] = 1e-2
    keeps_start: ClassVar[bool] = False

    def insert(self, encoder: nn.Module) -> None:
        table = getattr(encoder, "positions", None)
        if not isinstance(table, nn.Parameter):
            raise InputError("the encoder has no table of positions to set to zero")
        encoder.positions = nn.Parameter(torch.zeros_like(table), requires_grad=False)


def _free(encoder: nn.Module, words: str, wanted: Callable[[nn.Module, str], bool]) -> None:
    found = [
        weight
        for module in encoder.modules()
        for name, weight in module.named_parameters(recurse=False)
        if wanted(module, name)
    ]
    if not found:
        raise InputError(f"the encoder has no {words} that could learn: choose another method")
    for weight in found:
        weight.requires_grad_(True)


@register_method("full", system="ast_adapters", trained=86_187_264, note="everything")
def full() -> Full:
    return Full()


@register_method("linear", system="ast_adapters", trained=0, note="the head alone")
def linear() -> Linear:
    return Linear()


@register_method("zero-positions", system="ast_adapters", note="as in the official runs")
def zero_positions() -> ZeroPositions:
    return ZeroPositions()


@register_method("norms", system="ast_adapters", note="normalisation layers")
def norms() -> Norms:
    return Norms()


@register_method("bitfit", system="ast_adapters", trained=102_144, note="biases")
def bitfit() -> BitFit:
    return BitFit()
