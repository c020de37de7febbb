"""Mixtures of adapters: several small modules beside one residual part, and who speaks how loudly.

Cappellazzo, Falavigna and Brutti, "Efficient Fine-tuning of Audio Spectrogram Transformers via Soft
Mixture of Adapters" (Interspeech 2024). Dense: a router weighs all adapters for every token. Soft:
each adapter sees a few slots, which are averages of all tokens, and every token gets back an
average of all slots (Puigcerver et al. 2024).

The official code differs in three places, and `compat="published"` follows it: a mixture beside the
attention alone is added once more behind the feed-forward part; what is normalised to length 1 are
the tokens themselves, so slots are averages of those, and of the slots' vectors each value over the
adapters; a convpass inside drops its convolution.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Method
from sonograph.nn.sublayers import Place, beside, sublayers, width_of
from sonograph.nn.targets import submodule
from sonograph.registry import register_method
from sonograph.systems.adapt.ast_adapters.adapters import (
    Bottleneck,
    Compat,
    Convpass,
    Mask,
    free_norms,
)

Inside = Literal["bottleneck", "convpass"]
CONVPASS_KERNEL = 3  # Jie and Deng 2022


def adapters(
    width: int, inner: int, count: int, inside: Inside = "bottleneck", compat: Compat = "none"
) -> nn.ModuleList:
    """`count` small modules of one kind."""
    if inside == "bottleneck":
        return nn.ModuleList(Bottleneck(width, inner) for _ in range(count))
    return nn.ModuleList(Convpass(width, inner, CONVPASS_KERNEL, compat) for _ in range(count))


class DenseMixture(nn.Module):
    """(b, n, d) -> (b, n, d): the adapters' outputs, weighed for each token by a softmax."""

    def __init__(self, width: int, adapters: nn.ModuleList):
        super().__init__()
        self.router = nn.Linear(width, len(adapters))
        self.adapters = adapters

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        weights = self.router(x).softmax(-1)
        outputs = torch.stack([adapter(x, mask) for adapter in self.adapters], dim=-1)
        return einsum(outputs, weights, "b n d k, b n k -> b n d")


class SoftMixture(nn.Module):
    """(b, n, d) -> (b, n, d) through `slots` slots an adapter; padding fills no slot."""

    def __init__(self, width: int, adapters: nn.ModuleList, slots: int):
        super().__init__()
        self.slots = nn.Parameter(torch.randn(width, len(adapters), slots) * width**-0.5)
        self.adapters = adapters

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        logits = einsum(x, self.slots, "b n d, d k p -> b n k p")
        return self.mixed(x, logits, mask)

    def mixed(
        self, x: Float[Tensor, "b n d"], logits: Float[Tensor, "b n k p"], mask: Mask
    ) -> Float[Tensor, "b n d"]:
        """What the adapters make of slots filled with `x`, by what each token is to each slot."""
        combine = rearrange(
            rearrange(logits, "b n k p -> b n (k p)").softmax(-1),
            "b n (k p) -> b n k p",
            k=len(self.adapters),
        )
        if mask is not None:
            logits = logits.masked_fill(~mask[:, :, None, None], float("-inf"))
        filled = einsum(x, logits.softmax(1), "b n d, b n k p -> b k p d")
        answers = [adapter(slots) for adapter, slots in zip(self.adapters, filled.unbind(1))]
        return einsum(torch.stack(answers, 1), combine, "b k p d, b n k p -> b n d")


class NormalisedSoftMixture(SoftMixture):
    """The same, where tokens and slots meet at length 1, times a scale that learns.

    Puigcerver et al. 2024, section 2.3: for wide models, whose softmax would pick single tokens.
    """

    def __init__(self, width: int, adapters: nn.ModuleList, slots: int, compat: Compat = "none"):
        super().__init__(width, adapters, slots)
        self.scale = nn.Parameter(torch.ones([]))
        self.compat = compat

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        unit = of_length_1(x, -1)
        slots = self.scale * of_length_1(self.slots, 1 if self.compat == "published" else 0)
        logits = einsum(unit, slots, "b n d, d k p -> b n k p")
        return self.mixed(unit if self.compat == "published" else x, logits, mask)


def of_length_1(x: Tensor, axis: int) -> Tensor:
    return x / (x.norm(dim=axis, keepdim=True) + 1e-6)


class Again:
    """A hook that adds once more, behind a later part of the block, what a mixture answered."""

    def __init__(self, mixture: nn.Module):
        self.answer: Tensor | None = None
        mixture.register_forward_hook(self.note)

    def note(self, mixture: nn.Module, given: tuple[Any, ...], answer: Tensor) -> None:
        self.answer = answer

    def __call__(self, part: nn.Module, given: tuple[Any, ...], y: Tensor) -> Tensor:
        assert self.answer is not None
        answer, self.answer = self.answer, None
        return y + answer


@dataclasses.dataclass(frozen=True)
class Mixture(Method):
    """Several small adapters, parallel to each residual part of one kind.

    inner: width of each; count: how many; slots: of each, in the soft kind; match: how tokens and
    slots are compared there; inside: what the adapters are. norms: as in `Adapter`. compat:
    "published" does what the official code does, see above.
    """

    size: ClassVar[str] = "inner"

    inner: int = 6
    kind: Literal["soft", "dense"] = "soft"
    count: int = 4
    slots: int = 1
    match: Literal["product", "cosine"] = "product"
    inside: Inside = "bottleneck"
    at: Place = "feedforward"
    norms: str = ""
    compat: Compat = "none"

    def __post_init__(self) -> None:
        if min(self.inner, self.count, self.slots) < 1:
            raise InputError("a mixture has at least one adapter of width 1, with one slot")

    def insert(self, encoder: nn.Module) -> None:
        for name in sublayers(encoder, self.at):
            width = width_of(submodule(encoder, name))
            if self.inner > width:
                raise InputError(f"an adapter of width {self.inner} beside one of {width}: less")
            mixture = self.module(width)
            beside(encoder, name, mixture, "parallel")
            if self.compat == "published" and self.at == "attention":
                block = encoder.get_submodule(name.rpartition(".")[0])
                if not isinstance(later := getattr(block, "feedforward", None), nn.Module):
                    raise InputError(
                        'compat="published" adds the mixture once more behind the feed-forward '
                        f"part, and the block of {name} has none"
                    )
                later.register_forward_hook(Again(mixture))
        free_norms(encoder, self.norms)

    def module(self, width: int) -> nn.Module:
        modules = adapters(width, self.inner, self.count, self.inside, self.compat)
        if self.kind == "dense":
            return DenseMixture(width, modules)
        if self.match == "cosine":
            return NormalisedSoftMixture(width, modules, self.slots, self.compat)
        return SoftMixture(width, modules, self.slots)


@register_method("moa-soft", system="ast_adapters", note="a soft mixture of adapters")
def soft() -> Mixture:
    return Mixture()


@register_method("moa-dense", system="ast_adapters", note="a routed mixture of adapters")
def dense() -> Mixture:
    return Mixture(kind="dense")
