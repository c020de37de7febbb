"""Which numbers of a pre-trained model learn a new task: all, the head alone, or a few more.

adapt(model, "lora", rank=4)
adapt(model, "svfit+bitfit", where="attention.*")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from sonograph import registry
from sonograph.errors import InputError, did_you_mean
from sonograph.nn.adaptation import Method
from sonograph.nn.targets import ranks_of, select


def adapt(
    model: nn.Module,
    method: str | Method | Sequence[Method],
    head: str = "head",
    kept: Mapping[str, Tensor] | None = None,
    **settings: Any,
) -> nn.Module:
    """Set what learns, in place, and return the model.

    method: a name of `registry.methods()`, names joined by "+", or methods; they are applied one
    after the other to a model that is frozen, but for `head`: the name of the module that is new
    and always learns (patterns with `*` and `|` are allowed). kept: the encoder's part of what an
    adaptation kept, about to be filled in. settings: fields of the methods.
    Raises InputError for unknown names and settings, and where the model lacks what a method needs.
    """
    chosen = methods_of(method, settings)
    model.requires_grad_(False)
    for one in chosen:
        encoder = getattr(model, "encoder", model)
        if kept is None:
            one.insert(encoder)
        else:
            one.reinsert(encoder, kept)
        one.fit_head(model)
    if (device := next(model.parameters()).device).type != "meta":
        model.to(device)  # what was inserted stands where the model does
    heads = [part for name, part in model.named_modules() if _named(name, head)]
    if not heads and any(one.changes == "head" for one in chosen):
        names = [name for name, _ in model.named_modules() if name]
        raise InputError(f"the model has no part called {head!r}.{did_you_mean(head, names)}")
    for part in heads:
        part.requires_grad_(True)
    model.adaptation = (*getattr(model, "adaptation", ()), *chosen)  # type: ignore[assignment]
    return model


def methods_of(
    method: str | Method | Sequence[Method], settings: Mapping[str, Any] | None = None
) -> tuple[Method, ...]:
    """The methods of a name, with `settings` in those that have such a field."""
    if isinstance(method, str):
        chosen = tuple(_named_method(name) for name in method.split("+"))
    else:
        chosen = (method,) if isinstance(method, Method) else tuple(method)
    fields = [{field.name for field in dataclasses.fields(one)} for one in chosen]
    for name in settings or {}:
        if not any(name in known for known in fields):
            names = sorted(set().union(*fields))
            said = "+".join(type(one).__name__ for one in chosen)
            shown = f" It has {', '.join(names)}." if names else " It has none."
            raise InputError(f"{said} has no setting {name!r}.{did_you_mean(name, names)}{shown}")
    return tuple(
        one.override({name: value for name, value in (settings or {}).items() if name in known})
        for one, known in zip(chosen, fields)
    )


def _named_method(name: str) -> Method:
    known = registry.methods()
    if name not in known:
        raise InputError(f"no method {name!r}.{did_you_mean(name, known)} `sonograph methods`")
    return known[name].make()


def lower_ranks(encoder: Any, methods: Sequence[Any]) -> dict[str, int]:
    """Layers that are too thin for the rank of a method, and the rank that they get.

    encoder: as it is before the methods are applied.
    """
    found: dict[str, int] = {}
    for one in methods:
        if asked := getattr(one, "rank", 0):
            chosen = select(encoder, one.where)
            ranks = zip(chosen, ranks_of(encoder, chosen, asked))
            found |= {target.name: rank for target, rank in ranks if rank < asked}
    return found


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers learn."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def cost(encoder: Any, methods: Sequence[Method]) -> int:
    """How many numbers of an encoder, or beside it, these methods train; the head apart.

    Counted on an empty copy, so that it costs no memory.
    """
    from sonograph import weights

    with torch.device("meta"):
        empty = weights.build(weights.description(encoder))
    empty.requires_grad_(False)
    for one in methods:
        one.insert(empty)
    return trainable_parameters(empty)


def within(encoder: Any, methods: Sequence[Method], budget: str | float) -> tuple[Method, ...]:
    """The same methods as large as a budget of trained numbers allows, the head apart.

    budget: a number, or a share of the encoder's weights ("0.3%"). The first method with a size
    (a rank, a width, a count) is fitted. Raises InputError where even the smallest is too large.
    """
    allowed, whole = _allowed(encoder, budget)
    place = next((k for k, one in enumerate(methods) if one.size), None)
    words = f"{allowed:,} trained numbers ({100 * allowed / whole:.3g} % of {whole:,})"
    if place is None:
        if (needed := cost(encoder, methods)) > allowed:
            raise InputError(f"the method trains {needed:,} numbers and has no size: over {words}")
        return tuple(methods)

    def sized(size: int) -> tuple[Method, ...]:
        one = methods[place]
        return (*methods[:place], one.override({one.size: size}), *methods[place + 1 :])

    def fits(size: int) -> bool:
        try:
            return cost(encoder, sized(size)) <= allowed
        except InputError:  # larger than the largest layer
            return False

    low = methods[place].least
    if not fits(low):
        least = cost(encoder, sized(low))
        name = methods[place].size
        raise InputError(f"with {name} {low} it trains {least:,} numbers: over {words}")
    high = low + 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return sized(low)


def _allowed(encoder: Any, budget: str | float) -> tuple[int, int]:
    whole = sum(weight.numel() for weight in encoder.parameters())
    text = str(budget).strip()
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise InputError(f'a budget is a number or a share such as "0.3%", not {text!r}') from None
    allowed = int(number / 100 * whole) if text.endswith("%") else int(number)
    if allowed < 1:
        raise InputError(f"a budget of {text} leaves nothing to train of {whole:,} weights")
    return allowed, whole


def _named(name: str, patterns: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns.split("|"))
