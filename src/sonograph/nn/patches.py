"""Cutting a spectrogram into patches, and projecting each one to a token.

Tokens are in frequency-major order: index = row * columns + column, row 0 the lowest bins.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonograph.nn.encoder import Tokens

Pair = tuple[int, int]  # (bins, frames) or (rows, columns)


def patch_grid(size: Pair, patch: Pair, stride: Pair) -> Pair:
    """How many patches fit: (rows, columns); what is left over at the end is not covered.

    >>> patch_grid((128, 1024), (16, 16), (10, 10))
    (12, 101)
    """
    rows, columns = ((n - p) // s + 1 for n, p, s in zip(size, patch, stride))
    return max(rows, 0), max(columns, 0)


class PatchEmbed(nn.Module):
    """One linear map for every patch: (batch, bins, frames) -> (batch, patches, width).

    Dosovitskiy et al. 2021, section 3.1; overlapping strides as in AST (Gong et al. 2021).
    """

    def __init__(self, width: int, patch: Pair, stride: Pair):
        super().__init__()
        self.patch, self.stride = (patch[0], patch[1]), (stride[0], stride[1])
        self.project = nn.Conv2d(1, width, kernel_size=self.patch, stride=self.stride)

    def forward(self, features: Float[Tensor, "b bins frames"]) -> Float[Tensor, "b n d"]:
        if self.patch == self.stride:  # without overlap one matrix product does it, faster
            tokens = patchify(features, self.patch)
            return F.linear(tokens, self.project.weight.flatten(1), self.project.bias)
        return rearrange(self.project(features[:, None]), "b d f t -> b (f t) d")

    def tokens(
        self,
        features: Float[Tensor, "b bins frames"],
        lengths: Int[Tensor, "b"] | None,
        padding: float,
    ) -> Tokens:
        """Tokens of clips of several lengths; what lies beyond a clip counts as `padding`.

        A token is of the clip when all its frames are. A clip of less than one patch is filled up.
        """
        (bins, frames), width = features.shape[1:], self.patch[1]
        if frames < width:
            features = F.pad(features, (0, width - frames), value=padding)
        grid = patch_grid((bins, features.shape[2]), self.patch, self.stride)
        mask = None
        if lengths is not None and bool((lengths < frames).any()):
            beyond = torch.arange(features.shape[2], device=features.device) >= lengths[:, None]
            features = features.masked_fill(beyond[:, None], padding)
            columns = (lengths - width).div(self.stride[1], rounding_mode="floor") + 1
            within = torch.arange(grid[1], device=features.device) < columns.clamp(min=1)[:, None]
            mask = repeat(within, "b t -> b (f t)", f=grid[0])
        return Tokens(self(features), mask, grid)


def patchify(features: Float[Tensor, "b bins frames"], patch: Pair) -> Float[Tensor, "b n pixels"]:
    """The pixels of every non-overlapping patch, bins before frames within a patch."""
    (p, q), (bins, frames) = patch, features.shape[1:]
    cut = features[:, : bins // p * p, : frames // q * q]
    return rearrange(cut, "b (f p) (t q) -> b (f t) (p q)", p=p, q=q)


def unpatchify(
    pixels: Float[Tensor, "b n pixels"], patch: Pair, grid: Pair
) -> Float[Tensor, "b bins frames"]:
    """The spectrogram that `patchify` cut."""
    return rearrange(
        pixels, "b (f t) (p q) -> b (f p) (t q)", f=grid[0], t=grid[1], p=patch[0], q=patch[1]
    )
