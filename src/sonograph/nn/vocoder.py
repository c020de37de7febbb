"""What every vocoder is: features in, a waveform out."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.nn.pretrained import Pretrained


class Vocoder(nn.Module, Pretrained):
    """Turns the features of `spec` into sound, `spec.hop_samples` samples a frame.

    `context_frames`: how many frames to each side a sample depends on, or None where it depends on
    all of them; `infer/vocode.py` cuts long features accordingly, and the sound stays the same.
    """

    spec: FeatureSpec
    context_frames: int | None
    card: dict[str, Any]
    name: str

    def forward(
        self, features: Float[Tensor, "b rows frames"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n"]:
        """n = frames * hop samples, full scale 1; what is random is drawn from `generator`."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        raise NotImplementedError
