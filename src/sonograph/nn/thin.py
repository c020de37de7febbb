"""Linear layers as two thin ones: y = R (L x) + b, with L (k, inputs) and R (outputs, k).

What a compressed encoder is made of (Guo et al., "PELA", CVPR 2024, section 3.1). Plain layers with
plain weights, so that whatever trains, saves or adapts an encoder does so here too. The names are
the official ones: a layer X becomes X.0.weight, X.1.weight and X.1.bias.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph import config as configuration
from sonograph.nn.svd import truncated_svd


def thin_rank(inputs: int, outputs: int, ratio: float) -> int:
    """The widest middle at which two thin layers have `ratio` times fewer weights than the dense.

    0 where even a middle of one is too many.

    >>> thin_rank(768, 2304, 2), thin_rank(768, 768, 2), thin_rank(768, 3072, 2)
    (288, 192, 307)
    >>> thin_rank(360, 216, 2.7)  # the quotient itself would be rounded up to 50
    49
    """
    return int(inputs * outputs // (ratio * (inputs + outputs)))


class Thin(nn.Sequential):
    """(..., inputs) -> (..., outputs) through `rank` values; weights as any linear layer's."""

    def __init__(self, inputs: int, rank: int, outputs: int, bias: bool = True):
        super().__init__(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=bias))

    @property
    def weight(self) -> Float[Tensor, "outputs inputs"]:
        """R L: the weight of the dense layer of equal output."""
        narrow, widen = self.children()
        return widen.weight @ narrow.weight  # type: ignore[operator, return-value]

    @property
    def bias(self) -> Tensor | None:
        return self[1].bias  # type: ignore[return-value]


@torch.no_grad()
def decomposed(linear: nn.Linear, rank: int) -> Thin:
    """The nearest layer of this rank: U, s, V^T cut off, with sqrt(s) on both sides."""
    u, s, vh = truncated_svd(linear.weight, rank)
    made: Any = _empty(linear, rank)
    made[0].weight.copy_(s.sqrt()[:, None] * vh)
    made[1].weight.copy_(u * s.sqrt())
    if linear.bias is not None:
        made[1].bias.copy_(linear.bias)
    return made


def _empty(linear: nn.Linear, rank: int) -> Thin:
    made = Thin(linear.in_features, rank, linear.out_features, linear.bias is not None)
    return made.to(linear.weight).train(linear.training)


@dataclasses.dataclass(frozen=True)
class Compression(configuration.Config):
    """Which layers of an encoder are thin: {name: rank}; ratio: that was asked for."""

    ratio: float
    ranks: dict[str, int]


def compression_of(encoder: nn.Module) -> Compression | None:
    """How an encoder was compressed, if it was."""
    return getattr(encoder, "compression", None)


def compress(encoder: Any, compression: Compression) -> None:
    """Decompose layers in place; the encoder then describes itself as compressed."""
    for name, rank in compression.ranks.items():
        _put(encoder, name, decomposed(encoder.get_submodule(name), rank))
    _mark(encoder, compression)


def skeleton(encoder: Any, compression: Compression) -> None:
    """The same shapes with weights still random: what is about to be filled, or to learn anew."""
    for name, rank in compression.ranks.items():
        _put(encoder, name, _empty(encoder.get_submodule(name), rank))
    _mark(encoder, compression)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _mark(encoder: Any, compression: Compression) -> None:
    encoder.compression = compression
    if hasattr(encoder, "describe"):
        encoder.describe = functools.partial(_described, encoder.describe(), compression)


def _described(plain: Mapping[str, Any], compression: Compression) -> dict[str, Any]:
    """What `weights.build` needs to make a compressed encoder again."""
    system = {"system": plain["system"]} if "system" in plain else {}
    return {"kind": "compressed", **system, **compression.to_dict(), "encoder": dict(plain)}
