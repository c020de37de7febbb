"""Mixtures of adapters: several bottlenecks beside one residual part, and who speaks how loudly.

Cappellazzo, Falavigna and Brutti, "Efficient Fine-tuning of Audio Spectrogram Transformers via Soft
Mixture of Adapters" (Interspeech 2024). Dense: a router weighs all adapters for every token. Soft:
each adapter sees a few slots, which are averages of all tokens, and every token gets back an
average of all slots (Puigcerver et al. 2024).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Method
from sonograph.nn.sublayers import Place, beside, sublayers, width_of
from sonograph.nn.targets import submodule
from sonograph.registry import register_method
from sonograph.systems.adapt.ast_adapters.adapters import Bottleneck, Mask, free_norms


class DenseMixture(nn.Module):
    """(b, n, d) -> (b, n, d): the adapters' outputs, weighed for each token by a softmax."""

    def __init__(self, width: int, inner: int, count: int):
        super().__init__()
        self.router = nn.Linear(width, count)
        self.adapters = nn.ModuleList(Bottleneck(width, inner) for _ in range(count))

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        weights = self.router(x).softmax(-1)
        outputs = torch.stack([adapter(x) for adapter in self.adapters], dim=-1)
        return einsum(outputs, weights, "b n d k, b n k -> b n d")


class SoftMixture(nn.Module):
    """(b, n, d) -> (b, n, d) through `slots` slots an adapter; padding fills no slot."""

    def __init__(self, width: int, inner: int, count: int, slots: int):
        super().__init__()
        self.slots = nn.Parameter(torch.randn(width, count, slots) * width**-0.5)
        self.adapters = nn.ModuleList(Bottleneck(width, inner) for _ in range(count))

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        logits = einsum(x, self.slots, "b n d, d k p -> b n k p")
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


@dataclasses.dataclass(frozen=True)
class Mixture(Method):
    """Several bottlenecks, parallel to each residual part of one kind.

    inner: width of each; count: how many; slots: of each, in the soft kind.
    """

    size: ClassVar[str] = "inner"

    inner: int = 6
    kind: Literal["soft", "dense"] = "soft"
    count: int = 4
    slots: int = 1
    at: Place = "feedforward"
    norms: str = ""

    def __post_init__(self) -> None:
        if min(self.inner, self.count, self.slots) < 1:
            raise InputError("a mixture has at least one adapter of width 1, with one slot")

    def insert(self, encoder: nn.Module) -> None:
        for name in sublayers(encoder, self.at):
            width = width_of(submodule(encoder, name))
            if self.inner > width:
                raise InputError(f"an adapter of width {self.inner} beside one of {width}: less")
            mixture = (
                SoftMixture(width, self.inner, self.count, self.slots)
                if self.kind == "soft"
                else DenseMixture(width, self.inner, self.count)
            )
            beside(encoder, name, mixture, "parallel")
        free_norms(encoder, self.norms)


@register_method("moa-soft", system="ast_adapters", note="a soft mixture of adapters")
def soft() -> Mixture:
    return Mixture()


@register_method("moa-dense", system="ast_adapters", note="a routed mixture of adapters")
def dense() -> Mixture:
    return Mixture(kind="dense")
