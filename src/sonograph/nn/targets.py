"""Finding the layers of a model that an adaptation works on, by the names that its modules have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from torch import Tensor, nn

from sonograph.errors import InputError, did_you_mean

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
# layers that several parts share: which parts, in the order of their outputs
FUSED = {"qkv": ("query", "key", "value")}
ATTENTION = "attention.query|attention.value"


@dataclass(frozen=True)
class Target:
    """A linear or convolutional layer, or the part of a fused one that makes `rows` of its outputs.

    name: as a pattern finds it; place: of the module.
    """

    name: str
    place: str
    rows: tuple[int, int] | None = None


def targets(model: nn.Module) -> list[Target]:
    """Every linear and every ungrouped convolutional layer; fused ones as a whole and by parts."""
    found = []
    for place, layer in layers(model):
        found.append(Target(place, place))
        parent, _, last = place.rpartition(".")
        if parts := FUSED.get(last):
            size = layer.weight.shape[0] // len(parts)
            for k, part in enumerate(parts):
                name = f"{parent}.{part}" if parent else part
                found.append(Target(name, place, (k * size, (k + 1) * size)))
    return found


def layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """(name, layer) of what could be adapted; a layer that is adapted already, under its name."""
    from sonograph.nn.adaptation import Adapted, Inserted

    def inside(module: nn.Module, name: str) -> Iterator[tuple[str, Any]]:
        for last, child in module.named_children():
            path = f"{name}.{last}" if name else last
            if isinstance(child, Adapted):
                yield path, child
            elif isinstance(child, Inserted):
                if child.base is not None:
                    yield from inside(child.base, path)
            elif type(child) in LAYERS and getattr(child, "groups", 1) == 1:
                yield path, child
            else:
                yield from inside(child, path)

    return inside(model, "")


def select(model: nn.Module, where: str) -> list[Target]:
    """The layers whose name fits one of the patterns (`*`, joined by `|`), or ends in one.

    "": queries and values of attention where the model has attention, else every layer. A fused
    layer counts by its parts where the patterns fit those too, so that "attention.*" is queries,
    keys, values and outputs. Raises InputError where nothing fits.

    >>> from sonograph.nn.transformer import PreNormBlock
    >>> [target.name for target in select(PreNormBlock(8, 2), "attention.value|contract")]
    ['attention.value', 'feedforward.contract']
    """
    known = targets(model)
    if not where:
        attention = [target for target in known if fits(target.name, ATTENTION)]
        return attention or _without_parts(known)
    chosen = [target for target in known if fits(target.name, where)]
    if not chosen:
        names = list(dict.fromkeys(".".join(t.name.split(".")[-2:]) for t in known))
        hint = did_you_mean(where.replace("*", ""), names)
        shown = ", ".join(names[:8]) or "none"
        raise InputError(f"no layer is called {where!r}.{hint} Among those there are: {shown}")
    by_parts = {target.place for target in chosen if target.rows is not None}
    return [t for t in chosen if t.rows is not None or t.place not in by_parts]


def _without_parts(known: list[Target]) -> list[Target]:
    if not (whole := [target for target in known if target.rows is None]):
        raise InputError("the model has no linear or convolutional layer to adapt")
    return whole


def fits(name: str, patterns: str) -> bool:
    """Whether a dotted name, or the end of it, fits one of the patterns."""
    return any(
        fnmatch(name, pattern) or fnmatch(name, f"*.{pattern}") for pattern in patterns.split("|")
    )


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Set the sub-module that had this name before anything was inserted around it."""
    parent, _, last = name.rpartition(".")
    setattr(_original(submodule(model, parent)), last, module)


def submodule(model: nn.Module, name: str) -> nn.Module:
    """The sub-module that had this name before anything was inserted, or what wraps it now."""
    found = model
    for part in name.split(".") if name else ():
        found = getattr(_original(found), part)
    return found


def _original(module: nn.Module) -> nn.Module:
    from sonograph.nn.adaptation import Inserted

    while isinstance(module, Inserted) and module.base is not None:
        module = module.base
    return module


def matrix_of(model: nn.Module, target: Target) -> Tensor:
    """The weight of a target (outputs, inputs) as it is now, kernels flattened with the inputs."""
    weight: Tensor = submodule(model, target.place).weight  # type: ignore[assignment]
    rows = slice(*target.rows) if target.rows else slice(None)
    return weight.detach().flatten(1)[rows]


def ranks_of(model: nn.Module, chosen: Sequence[Target], rank: int) -> list[int]:
    """The rank of a change of each of these layers: `rank`, or all that a thinner matrix has.

    Raises InputError where it fits none of them, so that a layer which is named alone is never
    given less than was asked for.
    """
    shapes = [matrix_of(model, target).shape for target in chosen]
    most = [min(shape) for shape in shapes]
    if rank > max(most):
        widest = most.index(max(most))
        outputs, inputs = shapes[widest]
        among = "" if len(chosen) == 1 else f", the widest of {len(chosen)} layers"
        raise InputError(
            f"rank {rank} does not fit a matrix of {outputs} x {inputs} "
            f"({chosen[widest].name}{among}): it lies between 1 and {max(most)}"
        )
    return [min(rank, full) for full in most]
