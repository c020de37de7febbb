"""Finding the residual parts of an encoder's blocks, and putting an adapter beside one."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Inserted
from sonograph.nn.targets import layers, put, submodule

Place = Literal["feedforward", "attention", "both"]
# what is published as MHSA and FFN; the mixer of a state-space layer stands for both
NAMES = {"feedforward": ("feedforward",), "attention": ("attention", "mixer", "mamba", "space")}
Placement = Literal["parallel", "parallel-residual", "sequential", "sequential-residual", "feeding"]


def sublayers(encoder: nn.Module, place: Place) -> list[str]:
    """Names of the residual parts of one kind, or of both.

    Blocks that have a mixer alone, as state-space layers do, give that one for either kind.
    Raises InputError for an encoder without such parts.
    """
    found = {
        kind: [n for n, _ in encoder.named_modules() if n.rpartition(".")[2] in NAMES[kind]]
        for kind in NAMES
    }
    chosen = found["attention"] + found["feedforward"] if place == "both" else found[place]
    if chosen := chosen or found["attention"]:
        return chosen
    raise InputError(
        "the encoder has no attention, mixer or feed-forward parts to put an adapter beside: "
        "lora, svfit, norms, bitfit, linear or full fit any encoder"
    )


def width_of(sublayer: nn.Module) -> int:
    """The width of the tokens that a residual part reads: that of its first layer."""
    return next(layer for _, layer in layers(sublayer)).weight.shape[1]


class SubLayer(Inserted):
    """A residual part of a block, h -> f(h), with an adapter a beside it.

    parallel: f(h) + a(h); parallel-residual: f(h) + a(h) + h; sequential: a(f(h));
    sequential-residual: f(h) + a(f(h)); feeding: f(a(h)) + a(h). PETL_AST's code names the first
    four by `conf` and `residual`; the fourth is also what its ablation calls "after", whether
    parallel or sequential, and the last its "sequential, before".

    The adapter is called with (tokens, mask): which of them belong to the clip, or None.
    """

    def __init__(self, base: nn.Module, adapter: nn.Module, placement: Placement):
        super().__init__()
        self.base, self.adapter, self.placement = base, adapter, placement
        self.mask: Tensor | None = None  # of the batch that the block is working on

    def watch(self, block: nn.Module) -> None:
        """Learn the mask of each batch from the block: a feed-forward part is not told it."""
        block.register_forward_pre_hook(self._note)

    def _note(self, block: nn.Module, given: tuple[Any, ...]) -> None:
        masks = [x for x in given if isinstance(x, Tensor) and x.dtype == torch.bool]
        self.mask = masks[0] if masks else None

    def forward(self, h: Float[Tensor, "b n d"], *rest: Any) -> Float[Tensor, "b n d"]:
        assert self.base is not None
        if self.placement == "feeding":
            fed = self.adapter(h, self.mask)
            return self.base(fed, *rest) + fed
        y = self.base(h, *rest)
        if self.placement == "parallel":
            return y + self.adapter(h, self.mask)
        if self.placement == "parallel-residual":
            return y + self.adapter(h, self.mask) + h
        more = self.adapter(y, self.mask)
        return more if self.placement == "sequential" else y + more


def beside(encoder: nn.Module, name: str, adapter: nn.Module, placement: Placement) -> None:
    """Put an adapter beside the residual part of this name."""
    wrapped = SubLayer(submodule(encoder, name), adapter, placement)
    put(encoder, name, wrapped)
    wrapped.watch(encoder.get_submodule(name.rpartition(".")[0]))


def own_tokens_first(
    mask: Bool[Tensor, "b n"],
) -> tuple[Tensor, Tensor]:
    """(order, back): indices that bring each clip's own tokens to the front, and undo it.

    So what looks at neighbours sees a clip in a padded batch as it sees the clip alone.
    """
    order = (~mask).to(torch.int8).argsort(dim=1, stable=True)
    return order, order.argsort(dim=1)
