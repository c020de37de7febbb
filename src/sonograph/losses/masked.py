"""Losses on what a mask has hidden."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def masked_reconstruction(
    prediction: Float[Tensor, "b m p"],
    target: Float[Tensor, "b m p"],
    valid: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error over the hidden patches. SSAST (Gong et al. 2022), equation 2."""
    error = (prediction.float() - target.float()).square().mean(2)
    return error.mean() if valid is None else error[valid].mean()
