"""Structural similarity of spectrograms: sharper than a distance bin by bin.

Wang, Bovik, Sheikh and Simoncelli 2004, equation 13, on a Gaussian window of 11 x 11, deviation
1.5; as NATSpeech takes it on log-mels raised by 6, so that they are mostly positive.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

SIZE, DEVIATION = 11, 1.5
SMALL = (0.01**2, 0.03**2)  # C1, C2
BIAS = 6.0


def ssim(x: Float[Tensor, "b t f"], y: Float[Tensor, "b t f"]) -> Float[Tensor, "b t f"]:
    """Similarity of the neighbourhood of every cell, 1 where both are equal; zeros outside."""
    place = torch.arange(SIZE, dtype=x.dtype, device=x.device) - SIZE // 2
    bell = (-(place**2) / (2 * DEVIATION**2)).exp()
    bell = bell / bell.sum()

    def blurred(values: Tensor) -> Tensor:
        """All channels (b, 5, t, f) at once, one axis after the other."""
        count = values.shape[1]
        kernel = bell.expand(count, 1, -1)
        down = nn.functional.conv2d(values, kernel[..., None], padding=(SIZE // 2, 0), groups=count)
        return nn.functional.conv2d(down, kernel[:, :, None], padding=(0, SIZE // 2), groups=count)

    moments = blurred(torch.stack([x, y, x * x, y * y, x * y], dim=1))
    mean_x, mean_y, square_x, square_y, product = moments.unbind(1)
    both = mean_x * mean_y
    covariance = product - both
    spread = square_x - mean_x.square() + square_y - mean_y.square()
    alike = (2 * both + SMALL[0]) * (2 * covariance + SMALL[1])
    return alike / ((mean_x.square() + mean_y.square() + SMALL[0]) * (spread + SMALL[1]))


def ssim_loss(
    predicted: Float[Tensor, "b t f"],
    target: Float[Tensor, "b t f"],
    mask: Bool[Tensor, "b t"] | None = None,
    bias: float = BIAS,
) -> Float[Tensor, ""]:
    """1 minus the similarity, mean over the valid frames. `bias` is added to both first.

    Both should be 0 outside `mask`: a window that reaches there sees equal values.
    """
    loss = 1 - ssim(predicted + bias, target + bias)
    if mask is None:
        return loss.mean()
    return (loss.mean(2) * mask).sum() / mask.sum()
