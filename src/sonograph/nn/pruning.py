"""Taking frozen weights, and whole attention heads, out of a pre-trained model.

Single weights become zeros: the model gets sparser, neither smaller nor faster. Heads go for good:
the rows and columns that made them are cut out of all the layers of an attention. Either leaves
behind what an adaptation has to keep so that the same can be done to its base again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from sonograph.errors import InputError
from sonograph.nn.adaptation import Adapted, Inserted

Name = TypeVar("Name")

# --- single weights ------------------------------------------------------------------------------


class PrunedWeights(Inserted):
    """Which weights of a layer stay, a bit each, in the order of the flattened weight.

    It stands in the layer as its `mask`; the others are zero in the layer's weight. It does not
    merge: that would make one dense matrix of zeros and what was learned beside them.
    """

    def __init__(self, mask: Bool[Tensor, "outputs inputs"]):
        super().__init__()
        self.register_buffer("bits", packed(mask))


def packed(mask: Bool[Tensor, "*shape"]) -> UInt8[Tensor, "bytes"]:
    """Eight entries a byte, the first in the lowest bit.

    >>> packed(torch.tensor([True, False, True, False, False, False, False, False, True]))
    tensor([5, 1], dtype=torch.uint8)
    """
    flat = mask.flatten().to(torch.uint8)
    flat = nn.functional.pad(flat, (0, -len(flat) % 8)).view(-1, 8)
    return (flat << torch.arange(8, dtype=torch.uint8, device=flat.device)).sum(
        1, dtype=torch.uint8
    )


def unpacked(bits: UInt8[Tensor, "bytes"], shape: Sequence[int]) -> Bool[Tensor, "*shape"]:
    """What `packed` packed. Raises InputError where the bits are not as many as the shape asks."""
    count = int(torch.Size(shape).numel())
    if bits.dtype != torch.uint8 or len(bits) != -(-count // 8):
        raise InputError(f"a mask of {tuple(shape)} has {-(-count // 8)} bytes, not {len(bits)}")
    every = (bits[:, None] >> torch.arange(8, dtype=torch.uint8, device=bits.device)) & 1
    return every.flatten()[:count].view(*shape).bool()


def prune(layer: nn.Module, mask: Bool[Tensor, "outputs inputs"]) -> None:
    """Zero the weights of a linear layer, adapted or not, where the mask is False.

    The layer gets a weight of its own; one that it shares with another model stays as it is.
    Raises InputError where the weight itself learns, since nothing would hold the zeros.
    """
    plain: Any = layer.base if isinstance(layer, Adapted) else layer
    if plain.weight.requires_grad:
        raise InputError("pruning is of frozen weights: full fine-tuning would fill the zeros")
    if earlier := getattr(plain, "mask", None):
        mask = mask & unpacked(earlier.bits, mask.shape).to(mask.device)
    weight = plain.weight.detach()
    # not a product: that would keep the sign of zero
    plain.weight = nn.Parameter(
        torch.where(mask.to(weight.device), weight, torch.zeros_like(weight)), requires_grad=False
    )
    plain.mask = PrunedWeights(mask)


def largest(
    scores: Mapping[Name, Float[Tensor, "*shape"]], share: float
) -> dict[Name, Bool[Tensor, "*shape"]]:
    """Masks over all of some matrices together that drop the `share` of lowest scores.

    What torch.nn.utils.prune.global_unstructured does with L1Unstructured; scores are not
    negative. Raises InputError for a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise InputError(f"a share of {share} of the weights to prune: it lies in [0, 1)")
    if not scores:
        return {}
    flat = torch.cat([score.flatten() for score in scores.values()])
    keep = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
    keep[torch.topk(flat, round(share * len(flat)), largest=False).indices] = False
    parts = keep.split([score.numel() for score in scores.values()])
    return {name: part.view_as(score) for (name, score), part in zip(scores.items(), parts)}


# --- heads ---------------------------------------------------------------------------------------


class Trimmed(nn.Module):
    """In an attention, as its `heads`: which of those that it was built with are left."""

    def __init__(self, kept: Int[Tensor, "heads"]):
        super().__init__()
        self.register_buffer("left", kept, persistent=False)  # `weights.description` tells them
        self.left: Tensor


class Removal(Inserted):
    """The same as part of an adaptation; `kept` counts among the heads that its base has."""

    base: Trimmed | None
    kept: Tensor

    def __init__(self, kept: Int[Tensor, "heads"], base: Trimmed | None = None):
        super().__init__()
        self.base = base
        self.register_buffer("kept", kept)

    @property
    def left(self) -> Int[Tensor, "heads"]:
        return self.kept if self.base is None else self.base.left[self.kept]

    def merged(self) -> nn.Module:
        return Trimmed(self.left)


def attentions(model: nn.Module) -> dict[str, Any]:
    """Attentions whose heads can be removed, by the names they had before anything was inserted.

    Each has `num_heads`, a layer `project`, and `qkv` or `query`, `key` and `value`.
    """
    return {
        name.replace(".base", ""): part
        for name, part in model.named_modules()
        if hasattr(part, "num_heads")
        and hasattr(part, "project")
        and (hasattr(part, "qkv") or all(hasattr(part, n) for n in ("query", "key", "value")))
    }


def keep_heads(attention: Any, kept: Sequence[int] | Tensor) -> None:
    """Cut all but these heads out of an attention, in place, with what was added to its layers.

    Layers get weights of their own; those that another model shares stay as they are. Raises
    InputError for heads that it does not have, and beside additions that cannot get smaller.
    """
    heads = torch.as_tensor(kept, dtype=torch.long, device="cpu").sort().values
    count = attention.num_heads
    if not len(heads) or len(heads.unique()) < len(heads) or not 0 <= heads[0] <= heads[-1] < count:
        raise InputError(f"an attention of {count} heads cannot keep {heads.tolist()}")
    if getattr(attention, "prefix", None) is not None:
        raise InputError("heads cannot be removed where an attention has a prefix: leave one out")
    fused = hasattr(attention, "qkv")
    width = _outputs(attention.qkv) // 3 if fused else _outputs(attention.value)
    size = width // count
    rows = (heads[:, None] * size + torch.arange(size, device="cpu")).flatten()
    if fused:
        narrow(attention.qkv, torch.cat([rows + k * width for k in range(3)]), None)
    else:
        for part in (attention.query, attention.key, attention.value):
            narrow(part, rows, None)
    narrow(attention.project, None, rows)
    if hasattr(attention, "gate_scale"):  # a number a head
        scale = attention.gate_scale
        cut = scale.detach().index_select(1, heads.to(scale.device))
        attention.gate_scale = nn.Parameter(cut, requires_grad=scale.requires_grad)
    attention.num_heads = len(heads)
    earlier = getattr(attention, "heads", None)
    if isinstance(earlier, Removal):
        attention.heads = Removal(earlier.kept.cpu()[heads], earlier.base)
    else:
        attention.heads = Removal(heads, earlier)
    if (device := attention.project.weight.device).type != "meta":
        attention.heads.to(device)


def _outputs(layer: Any) -> int:
    plain: Any = layer.base if isinstance(layer, Adapted) else layer
    return len(plain.weight)


def narrow(layer: Any, outputs: Tensor | None, inputs: Tensor | None) -> None:
    """Keep these outputs and inputs of a linear layer, adapted or not; None: all of them."""
    if isinstance(layer, Adapted):
        for name, addition in layer.additions.items():
            mine = outputs
            if (rows := layer.rows[name]) is not None and outputs is not None:
                low, high = rows
                mine = outputs[(outputs >= low) & (outputs < high)] - low
                first = int((outputs < low).sum())
                layer.rows[name] = (first, first + len(mine))
            addition.narrow(mine, inputs)  # type: ignore[operator]
        narrow(layer.base, outputs, inputs)
        return
    old = layer.weight
    shape = old.shape
    layer.weight = nn.Parameter(part_of(old.detach(), outputs, inputs), old.requires_grad)
    if outputs is not None and layer.bias is not None:
        bias = part_of(layer.bias.detach(), outputs, None)
        layer.bias = nn.Parameter(bias, layer.bias.requires_grad)
    layer.out_features, layer.in_features = layer.weight.shape
    if mask := getattr(layer, "mask", None):
        layer.mask = PrunedWeights(part_of(unpacked(mask.bits, shape), outputs, inputs))


def part_of(matrix: Tensor, outputs: Tensor | None, inputs: Tensor | None) -> Tensor:
    """Some rows and columns of a matrix, as a tensor of its own."""
    if outputs is not None:
        matrix = matrix.index_select(0, outputs.to(matrix.device))
    if inputs is not None:
        matrix = matrix.index_select(1, inputs.to(matrix.device))
    return matrix.clone()


def heads_left(model: nn.Module) -> dict[str, list[int]]:
    """Attentions that were made with fewer heads than the model's configuration says: which."""
    return {
        name.replace(".base", "").removesuffix(".heads"): part.left.tolist()
        for name, part in model.named_modules()
        if isinstance(part, Trimmed)
    }


def trim(model: nn.Module, left: Mapping[str, Sequence[int]]) -> None:
    """Bring a freshly built model to the heads that `heads_left` told."""
    for name, kept in left.items():
        attention: Any = model.get_submodule(name)
        keep_heads(attention, kept)
        attention.heads = attention.heads.merged()
