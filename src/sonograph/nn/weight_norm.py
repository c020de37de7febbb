"""Weight normalisation: w = g v / |v|, under the names that published checkpoints use.

Salimans and Kingma 2016. torch has two layouts: `weight_g`, `weight_v` of the old function, which
all published vocoders hold, and `parametrizations.weight.original0/1` of the new one. Ours keeps
the old names and is folded into plain weights for use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Conv = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.Linear


class WeightNorm(nn.Module):
    """A convolution or linear layer of weight g v / |v|, the norm over all axes but the first.

    Holds `bias`, `weight_g`, `weight_v`; built with v as the layer's weight and g as its norm, so
    that it begins as that layer.
    """

    def __init__(self, layer: Conv):
        super().__init__()
        weight = layer.weight.detach()
        axes = list(range(1, weight.ndim))
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(weight, dim=axes, keepdim=True))
        self.weight_v = nn.Parameter(weight.clone())
        self.bias = layer.bias
        layer.weight = None  # type: ignore[assignment]
        layer.bias = None
        self.layer = (layer,)  # in a tuple: its names are not ours

    @property
    def weight(self) -> Tensor:
        return torch._weight_norm(self.weight_v, self.weight_g, 0)

    def forward(self, x: Tensor) -> Tensor:
        return run(self.layer[0], x, self.weight, self.bias)

    def plain(self) -> nn.Module:
        """The same layer with a plain weight."""
        layer = self.layer[0]
        with torch.inference_mode(False), torch.no_grad():  # a weight that can tell of changes
            layer.weight = nn.Parameter(self.weight.clone())
        layer.bias = self.bias
        return layer

    def extra_repr(self) -> str:
        return str(self.layer[0])


def run(layer: Conv, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What `layer` makes of x with these weights."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    padding: Any = layer.padding
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        convolve = F.conv1d if isinstance(layer, nn.Conv1d) else F.conv2d
        return convolve(x, weight, bias, layer.stride, padding, layer.dilation, layer.groups)
    spread = F.conv_transpose1d if isinstance(layer, nn.ConvTranspose1d) else F.conv_transpose2d
    more: Any = layer.output_padding
    return spread(x, weight, bias, layer.stride, padding, more, layer.groups, layer.dilation)


def weight_norm(layer: Conv) -> WeightNorm:
    """The layer, weight-normalised."""
    return WeightNorm(layer)


Model = TypeVar("Model", bound=nn.Module)


def fold(model: Model) -> Model:
    """Replace every weight-normalised layer by its plain one, in place: the same sound, faster."""
    for part in list(model.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, WeightNorm):
                setattr(part, name, child.plain())
    return model


def old_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint with torch's newer names of weight norm, under the older ones."""
    new = {"parametrizations.weight.original0": "weight_g"}
    new["parametrizations.weight.original1"] = "weight_v"
    renamed = {}
    for name, value in state.items():
        for theirs, ours in new.items():
            name = name.replace(theirs, ours)
        renamed[name] = value
    return renamed


def normed(state: Mapping[str, Tensor], layers: str) -> dict[str, Tensor]:
    """A checkpoint under the older names, from which weight norm may have been removed.

    layers: a pattern; plain weights of layers whose name it finds become a direction and its norm.
    """
    found = {}
    for name, value in old_names(state).items():
        if name.endswith(".weight") and re.search(layers, name.removesuffix(".weight")):
            axes = list(range(1, value.ndim))
            found[name + "_g"] = torch.linalg.vector_norm(value, dim=axes, keepdim=True)
            found[name + "_v"] = value
        else:
            found[name] = value
    return found
