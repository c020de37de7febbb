"""Low-rank adaptation of linear layers: y = W x + b + (alpha / rank) B A x, W and b frozen.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), section 4.1. A starts
uniform as a linear layer's weight does, B starts at 0, so that the adapted model begins as the
given one. peft computes the same; this core needs no further library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatch

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.errors import InputError, did_you_mean

ATTENTION = "*attention.qkv|*attention.query|*attention.key|*attention.value|*attention.project"


class LowRankLinear(nn.Module):
    """A linear layer with a low-rank delta beside it.

    down: (rank, inputs) is the paper's A, up: (outputs, rank) its B.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float):
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        delta = nn.functional.linear(nn.functional.linear(self.dropout(x), self.down), self.up)
        return self.base(x) + self.scale * delta

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The plain layer with the delta inside: W + (alpha / rank) B A."""
        self.base.weight += self.scale * (self.up @ self.down)
        return self.base


def add_lowrank(
    model: nn.Module,
    rank: int = 8,
    alpha: float = 16.0,
    where: str = ATTENTION,
    dropout: float = 0.0,
) -> nn.Module:
    """Freeze `model` and put a low-rank delta on its linear layers, in place.

    where: patterns of module names with `*`, joined by `|`. Raises InputError where nothing fits.
    """
    if rank < 1:
        raise InputError(f"rank is {rank}: a low-rank adapter has at least rank 1")
    linears = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    chosen = [n for n in linears if any(fnmatch(n, pattern) for pattern in where.split("|"))]
    if not chosen:
        hint = did_you_mean(where.replace("*", ""), linears)
        raise InputError(f"no linear layer of the model is called {where!r}.{hint}")
    model.requires_grad_(False)
    for name in chosen:
        parent, last = _place(model, name)
        setattr(parent, last, LowRankLinear(linears[name], rank, alpha, dropout))
    return model


def lowrank_state(model: nn.Module) -> dict[str, Tensor]:
    """The deltas alone, `<layer>.down` and `<layer>.up`: what has to be kept of an adaptation."""
    return {
        f"{name}.{part}": getattr(module, part).detach()
        for name, module in model.named_modules()
        if isinstance(module, LowRankLinear)
        for part in ("down", "up")
    }


@torch.no_grad()
def load_lowrank(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fill the deltas of a model that `add_lowrank` prepared the same way."""
    targets = lowrank_state(model)
    if targets.keys() != state.keys():
        name = sorted(targets.keys() ^ state.keys())[0]
        raise InputError(f"the low-rank weights do not fit the model: {name!r} is on one side only")
    for name, target in targets.items():
        if target.shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)}, the model's is {tuple(target.shape)}"
            raise InputError(f"low-rank weight {name!r} has shape {shapes}")
        target.copy_(state[name])


def merge_lowrank(model: nn.Module) -> nn.Module:
    """Replace every adapted layer by a plain one of equal output, in place."""
    adapted = [n for n, m in model.named_modules() if isinstance(m, LowRankLinear)]
    for name in adapted:
        parent, last = _place(model, name)
        setattr(parent, last, getattr(parent, last).merged())
    return model


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict that the model would have after `merge_lowrank`; the model stays adapted."""
    state = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            parts = {
                part: state.pop(f"{name}.base.{part}")
                for part in ("weight", "bias")
                if f"{name}.base.{part}" in state
            }
            delta = module.scale * (state.pop(f"{name}.up") @ state.pop(f"{name}.down"))
            state |= {f"{name}.{part}": value for part, value in parts.items()}
            state[f"{name}.weight"] = parts["weight"] + delta
    return state


def _place(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    parent, _, last = name.rpartition(".")
    return model.get_submodule(parent), last
