"""What lies between an encoder's layers, as a representation of its own."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.encoder import Embeds, Tokens


class LayeredEncoder(Protocol):
    """An encoder that shows its input representation and the output of each of its layers.

    The last of `layers` is what the encoder itself answers.
    """

    spec: FeatureSpec
    width: int
    grid: tuple[int, int]
    config: Any

    def describe(self) -> dict[str, Any]: ...

    def layers(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> tuple[Tokens, ...]: ...


class WeightedLayers(nn.Module, Embeds):
    """Any layered encoder, with the sum of its layers under learned softmax weights as its answer.

    The weights start equal. Stands wherever an encoder stands, so that heads, probes and `embed`
    take it. Peters et al. 2018 (ELMo), equation 1 without the scale; the way TERA and SUPERB use
    frozen representations.
    """

    def __init__(self, encoder: LayeredEncoder):
        super().__init__()
        if not hasattr(encoder, "layers"):
            raise InputError(
                f"a {type(encoder).__name__} does not show its layers: use its last one as it is"
            )
        self.base = encoder
        self.spec, self.width, self.grid = encoder.spec, encoder.width, encoder.grid
        self.config = encoder.config
        # one frame is enough to count the layers, on any device
        with torch.no_grad():
            device = next(encoder.parameters()).device  # type: ignore[attr-defined]
            count = len(encoder.layers(torch.zeros(1, self.spec.rows, 1, device=device)))
        self.weights = nn.Parameter(torch.zeros(count))

    def shares(self) -> Float[Tensor, "layers"]:
        """How much each layer counts; they sum to 1."""
        return self.weights.softmax(0)

    def forward(
        self, features: Float[Tensor, "b rows frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        layers = self.base.layers(features, lengths)
        values = torch.stack([layer.values for layer in layers], dim=-1)
        return dataclasses.replace(layers[-1], values=values @ self.shares().to(values.dtype))

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "layers", "encoder": self.base.describe()}
