"""Learned tokens: prompts among the tokens of a transformer, prefixes among keys and values.

Prompts: Jia et al., "Visual Prompt Tuning" (ECCV 2022), shallow (section 3.2, before the first
block) and deep (new ones take their places before every block). Prefixes: Li and Liang 2021. As
PETL_AST has them: prompts stand behind the special tokens and before the patches.

Ours: prompts leave the sequence after the last block, so that pooling, heads and grids see the
tokens of the sound alone; the official code pools over the prompts as well, and takes the
distillation token out.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Inserted, Method
from sonograph.nn.prefix import Prefix
from sonograph.nn.sublayers import width_of
from sonograph.registry import register_method


def spread_of(width: int) -> float:
    """Half the width of the uniform start: Xavier's, of patches of 16 x 16 in three colours."""
    return math.sqrt(6 / (3 * 16 * 16 + width))


def blocks_of(encoder: nn.Module) -> nn.ModuleList:
    """The stack of transformer blocks. Raises InputError where there is none."""
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) and all(
            hasattr(block, "attention") and hasattr(block, "feedforward") for block in module
        ):  # fmt: skip
            return module
    raise InputError(
        "prompts stand among the tokens of transformer blocks, and this encoder has none: lora, "
        "svfit, norms, bitfit, linear or full fit any encoder"
    )


class Prompts(Inserted):
    """Tokens that learn: (blocks, count, width), one set for the first block or one for each.

    They enter before the first block at `first`, are exchanged before every later block that has a
    set of its own, and leave after the last.
    """

    def __init__(self, blocks: nn.ModuleList, first: int, count: int, sets: int):
        super().__init__()
        width = width_of(blocks[0])
        spread = spread_of(width)
        self.first, self.count = first, count
        self.tokens = nn.Parameter(torch.empty(sets, count, width).uniform_(-spread, spread))
        for k, block in enumerate(blocks):
            block.register_forward_pre_hook(_Enter(self, k))
        blocks[-1].register_forward_hook(self._leave)

    def enter(self, k: int, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs of block k with the prompts among its tokens."""
        x, *rest = given
        low, high = self.first, self.first + self.count
        if k < len(self.tokens):
            mine = self.tokens[k].to(x).expand(len(x), -1, -1)
            behind = x[:, low:] if k == 0 else x[:, high:]
            x = torch.cat([x[:, :low], mine, behind], dim=1)
        return (x, *(self._widened(other) for other in rest))

    def _widened(self, other: Any) -> Any:
        """A mask (b, n) that allows the prompts; biases (heads, n, n) that are 0 for them."""
        if not isinstance(other, Tensor):
            return other
        front, behind = other[..., : self.first], other[..., self.first :]
        if other.dtype == torch.bool:
            allowed = other.new_ones(len(other), self.count)
            return torch.cat([front, allowed, behind], dim=-1)
        wide = torch.cat([front, other.new_zeros(*other.shape[:-1], self.count), behind], dim=-1)
        rows = F.pad(wide[:, self.first :], (0, 0, self.count, 0))
        return torch.cat([wide[:, : self.first], rows], dim=1)

    def _leave(self, block: nn.Module, given: tuple[Any, ...], x: Tensor) -> Tensor:
        return torch.cat([x[:, : self.first], x[:, self.first + self.count :]], dim=1)


class _Enter:
    """A hook of one block; a class, so that a copy of the model has hooks of its own."""

    def __init__(self, prompts: Prompts, k: int):
        self.prompts, self.k = prompts, k

    def __call__(self, block: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return self.prompts.enter(self.k, given)


@dataclasses.dataclass(frozen=True)
class PromptTuning(Method):
    """Learned tokens among those of the sound, before the first block or before every one."""

    size: ClassVar[str] = "count"
    lr: ClassVar[float] = 1e-2
    no_decay: ClassVar[tuple[str, ...]] = ("*.prompts.tokens",)
    keeps_start: ClassVar[bool] = False

    count: int = 25
    depth: Literal["shallow", "deep"] = "deep"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"{self.count} prompts: at least 1")

    def insert(self, encoder: nn.Module) -> None:
        blocks = blocks_of(encoder)
        special = getattr(getattr(encoder, "config", None), "special_tokens", 0)
        sets = 1 if self.depth == "shallow" else len(blocks)
        encoder.prompts = Prompts(blocks, special, self.count, sets)


@dataclasses.dataclass(frozen=True)
class PrefixTuning(Method):
    """Learned keys and values in every attention: half of `count` are keys, half values."""

    size: ClassVar[str] = "count"
    least: ClassVar[int] = 2
    lr: ClassVar[float] = 1e-2
    no_decay: ClassVar[tuple[str, ...]] = ("*.prefix.*",)
    keeps_start: ClassVar[bool] = False

    count: int = 24

    def __post_init__(self) -> None:
        if self.count < 2:
            raise InputError(f"a prefix of {self.count}: at least 2, a key and a value")

    def insert(self, encoder: nn.Module) -> None:
        attentions = [part for part in encoder.modules() if hasattr(part, "prefix")]
        if not attentions:
            raise InputError(
                "prefixes stand among the keys and values of attention, and this encoder has no "
                "attention that takes them: lora, svfit, norms, bitfit, linear or full fit any"
            )
        for attention in attentions:
            width = width_of(attention)
            attention.prefix = Prefix(width, self.count // 2, spread_of(width))


@register_method(
    "prompt-deep", system="ast_adapters", trained=230_400, note="25 a block, published"
)
def deep() -> PromptTuning:
    return PromptTuning()


@register_method("prompt-shallow", system="ast_adapters", trained=230_400, note="300 in front")
def shallow() -> PromptTuning:
    return PromptTuning(count=300, depth="shallow")


@register_method("prefix", system="ast_adapters", trained=221_184, note="24 a block")
def prefix() -> PrefixTuning:
    return PrefixTuning()
