"""Which weights of a pre-trained model learn a new task: all, the head alone, or a few more."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from typing import Literal, get_args

from torch import nn

from sonograph.errors import InputError, did_you_mean
from sonograph.nn.lowrank import ATTENTION, add_lowrank

Method = Literal["full", "linear", "norms", "biases", "lowrank"]


def adapt(
    model: nn.Module,
    method: Method,
    head: str = "head",
    rank: int = 8,
    alpha: float = 16.0,
    where: str = ATTENTION,
) -> nn.Module:
    """Set what learns, in place, and return the model.

    full: everything. linear: the head alone. norms: head and normalisation layers. biases: head
    and biases (BitFit, 2021). lowrank: head and a low-rank delta (`rank`, `alpha`, `where`, see
    `nn.lowrank`). head: name of the module that is new and always learns; patterns with `*` and
    `|` are allowed.
    """
    choose: dict[str, Callable[[], object]] = {
        "full": lambda: _learn(model, lambda module, weight: True),
        "linear": lambda: _learn(model, lambda module, weight: False),
        "norms": lambda: _learn(model, lambda module, weight: isinstance(module, NORMS)),
        "biases": lambda: _learn(model, lambda module, weight: weight == "bias"),
        "lowrank": lambda: add_lowrank(model, rank, alpha, where),
    }
    if method not in choose:
        hint = did_you_mean(method, choose)
        raise InputError(f"method is one of {', '.join(get_args(Method))}, not {method!r}.{hint}")
    heads = [part for name, part in model.named_modules() if _named(name, head)]
    if not heads and method != "full":
        names = [name for name, _ in model.named_modules() if name]
        raise InputError(f"the model has no part called {head!r}.{did_you_mean(head, names)}")
    choose[method]()
    for part in heads:
        part.requires_grad_(True)
    return model


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers learn."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


NORMS = (
    nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm1d,
)  # fmt: skip


def _learn(model: nn.Module, wanted: Callable[[nn.Module, str], bool]) -> None:
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            weight.requires_grad_(wanted(module, name))


def _named(name: str, patterns: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns.split("|"))
