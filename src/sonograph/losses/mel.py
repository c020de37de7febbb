"""How far a spectrogram lies from the one that was wanted: L1, and unlikeness of structure.

As NATSpeech has it (PortaSpeech, ProDiff): half of each.
"""

from __future__ import annotations

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.losses.ssim import BIAS, ssim_loss


def mel_losses(
    predicted: Float[Tensor, "b rows t"],
    target: Float[Tensor, "b rows t"],
    mask: Float[Tensor, "b 1 t"],
    compat: Literal["none", "published"] = "none",
    bias: float = BIAS,
) -> dict[str, Float[Tensor, ""]]:
    """L1 and 1 - SSIM, means over the valid frames. `bias` lifts features for the similarity.

    compat: "published" lets the windows of the similarity see what is predicted of padding.
    """
    frames = mask[:, 0] > 0
    l1 = ((predicted - target).abs() * mask).sum() / (mask.sum() * target.shape[1])
    a, b = (x.transpose(1, 2) for x in (predicted, target))
    if compat == "published":
        alike = ssim_loss(a, b, frames, bias)
    else:  # zeros after the end, as around a clip alone
        kept = mask.transpose(1, 2)
        alike = ssim_loss((a + bias) * kept, (b + bias) * kept, frames, bias=0.0)
    return {"l1": l1, "ssim": alike}


def lift(spec: FeatureSpec) -> float:
    """What makes the quietest value of a logarithmic mel 0: 6 for that of NATSpeech."""
    if spec.log not in ("ln", "log10"):
        return 0.0
    return -(math.log if spec.log == "ln" else math.log10)(spec.log_floor)
