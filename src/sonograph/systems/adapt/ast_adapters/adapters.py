"""Small modules beside the residual parts of a block: bottleneck, conformer, convpass.

    bottleneck   down  GELU  up
    conformer    norm  down + gate  depthwise convolution over tokens  norm  SiLU  up
    convpass     down  QuickGELU  convolution over tokens  QuickGELU  up

The conformer adapter is what PETL_AST proposes: its convolution sees the order of the tokens.
Tokens lie as the encoder has them, special ones first, patches in frequency-major order.

Ours: the last map starts at 0, so that the adapted model begins as the given one (the official
bottleneck starts both maps at 0, and learns only because a library draws missing weights anew);
the convolutions pass over what is not the clip's own, so that padding changes nothing.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Method
from sonograph.nn.sublayers import Place, Placement, beside, own_tokens_first, sublayers, width_of
from sonograph.nn.targets import fits, submodule
from sonograph.registry import register_method

Kind = Literal["bottleneck", "conformer", "convpass"]
Compat = Literal["none", "published"]
Mask = Bool[Tensor, "b n"] | None


class Bottleneck(nn.Module):
    """(b, n, d) -> (b, n, d) through `inner` values. Houlsby et al. 2019, section 2.1."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.down = nn.Linear(width, inner)
        self.up = nn.Linear(inner, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        return self.up(F.gelu(self.down(x)))


class ConformerAdapter(nn.Module):
    """The convolution module of the Conformer as a bottleneck (PETL_AST, section 3.2).

    compat: "published" overwrites what the normalisation computed, as the official code does.
    """

    def __init__(self, width: int, inner: int, kernel: int, compat: Compat = "none"):
        super().__init__()
        self.compat = compat
        self.norm = nn.LayerNorm(width)
        self.down = nn.Conv1d(width, 2 * inner, 1)
        self.depthwise = nn.Conv1d(inner, inner, kernel, padding="same", groups=inner)
        self.batch_norm = nn.BatchNorm1d(inner)
        self.up = nn.Conv1d(inner, width, 1)
        nn.init.zeros_(self.up.weight)
        assert self.up.bias is not None
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        x = x if self.compat == "published" else self.norm(x)
        gated = F.glu(self.down(x.transpose(1, 2)), dim=1)
        mixed = over_own_tokens(self.depthwise, gated, mask)
        flat = mixed.transpose(1, 2)
        if mask is None:
            normed = self.batch_norm(flat.flatten(0, 1)).view_as(flat)
        else:  # statistics of what belongs to clips alone
            normed = torch.zeros_like(flat)
            normed[mask] = self.batch_norm(flat[mask]).to(flat.dtype)
        return self.up(F.silu(normed).transpose(1, 2)).transpose(1, 2)


class Convpass(nn.Module):
    """A bottleneck with a convolution over tokens inside (Jie and Deng 2022, here in one
    dimension as PETL_AST has it).

    compat: "published" drops what the convolution computed, as the official code does.
    """

    def __init__(self, width: int, inner: int, kernel: int, compat: Compat = "none"):
        super().__init__()
        self.compat = compat
        self.down = nn.Linear(width, inner)
        self.convolve = nn.Conv1d(inner, inner, kernel, padding="same")
        self.drop = nn.Dropout(0.1)
        self.up = nn.Linear(inner, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "b n d"], mask: Mask = None) -> Float[Tensor, "b n d"]:
        inner = quick_gelu(self.down(x))
        if self.compat == "none":
            mixed = over_own_tokens(self.convolve, inner.transpose(1, 2), mask)
            inner = mixed.transpose(1, 2)
        return self.up(self.drop(quick_gelu(inner)))


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def over_own_tokens(
    convolve: nn.Conv1d, x: Float[Tensor, "b d n"], mask: Mask
) -> Float[Tensor, "b d n"]:
    """A convolution over each clip's own tokens, as if there were no others."""
    if mask is None:
        return convolve(x)
    order, back = own_tokens_first(mask)
    expand = lambda index: index[:, None].expand(-1, x.shape[1], -1)  # noqa: E731
    own = x.gather(2, expand(order)) * mask.gather(1, order)[:, None]
    return convolve(own).gather(2, expand(back).expand(-1, convolve.out_channels, -1))


@dataclasses.dataclass(frozen=True)
class Adapter(Method):
    """A small module beside the residual parts of every block.

    inner: its width, d / RR in the paper. at: "feedforward" is Pfeiffer's, "both" Houlsby's way.
    placement: see `nn.sublayers.SubLayer`. norms: normalisation layers that learn too, as patterns
    (the published ones train "norm2|norm", with `at="both"` "norm1|norm2|norm"). compat:
    "published" leaves out what the official code computes and does not use.
    """

    size: ClassVar[str] = "inner"
    lr: ClassVar[float] = 5e-3

    inner: int = 8
    kind: Kind = "bottleneck"
    kernel: int = 31
    at: Place = "feedforward"
    placement: Placement = "parallel"
    norms: str = ""
    compat: Compat = "none"

    def __post_init__(self) -> None:
        if self.inner < 1 or self.kernel < 1:
            raise InputError(f"an adapter of width {self.inner}, kernel {self.kernel}: at least 1")

    def insert(self, encoder: nn.Module) -> None:
        for name in sublayers(encoder, self.at):
            width = width_of(submodule(encoder, name))
            if self.inner > width:
                raise InputError(f"an adapter of width {self.inner} beside one of {width}: less")
            beside(encoder, name, self.module(width), self.placement)
        free_norms(encoder, self.norms)

    def module(self, width: int) -> nn.Module:
        if self.kind == "bottleneck":
            return Bottleneck(width, self.inner)
        if self.kind == "conformer":
            return ConformerAdapter(width, self.inner, self.kernel, self.compat)
        return Convpass(width, self.inner, self.kernel, self.compat)


def free_norms(encoder: nn.Module, patterns: str) -> None:
    """Let the normalisation layers of these names learn."""
    if not patterns:
        return
    found = [m for n, m in encoder.named_modules() if fits(n, patterns)]
    if not found:
        raise InputError(f"no part of the encoder is called {patterns!r}")
    for module in found:
        module.requires_grad_(True)


@register_method("adapter", system="ast_adapters", note="bottleneck beside feed-forward parts")
def adapter() -> Adapter:
    return Adapter()


@register_method("adapter-houlsby", system="ast_adapters", note="beside attention as well")
def houlsby() -> Adapter:
    return Adapter(at="both")


@register_method("adapter-64", system="ast_adapters", trained=230_544, note="published")
def adapter_64() -> Adapter:
    return Adapter(inner=12)


@register_method("adapter-128", system="ast_adapters", trained=119_880, note="published")
def adapter_128() -> Adapter:
    return Adapter(inner=6)


@register_method("conformer", system="ast_adapters", trained=252_288, note="0.29 %, published")
def conformer() -> Adapter:
    return Adapter(kind="conformer")


@register_method("conformer-8", system="ast_adapters", trained=250_080, note="kernel of 8")
def conformer_8() -> Adapter:
    return Adapter(kind="conformer", kernel=8)


@register_method("convpass", system="ast_adapters", note="bottleneck with a convolution inside")
def convpass() -> Adapter:
    return Adapter(kind="convpass", kernel=3)
