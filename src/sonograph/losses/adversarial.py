"""Least-squares adversarial losses and feature matching.

Mao et al. 2017 (least squares); Kumar et al. 2019 (MelGAN: features); the sums as in HiFi-GAN
(Kong et al. 2020, 2.4, equations 1 to 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Sum over sub-discriminators of mean (1 - D(real))^2 + mean D(fake)^2."""
    losses = [(1 - r).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).sum()


def generator_loss(fake: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Sum over sub-discriminators of mean (1 - D(fake))^2."""
    return torch.stack([(1 - f).square().mean() for f in fake]).sum()


def feature_loss(
    real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]
) -> Float[Tensor, ""]:
    """Sum over sub-discriminators and layers of the mean absolute difference of their maps."""
    pairs = [(r, f) for one, other in zip(real, fake, strict=True) for r, f in zip(one, other)]
    return torch.stack([(r.detach() - f).abs().mean() for r, f in pairs]).sum()
