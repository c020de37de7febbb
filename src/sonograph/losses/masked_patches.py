"""Masked spectrogram patch modelling: find each hidden patch, and paint it.

Gong et al., "SSAST", AAAI 2022, section 2.3; SSAMBA (Shams et al. 2024) has the same.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.losses.contrastive import info_nce_in_clip
from sonograph.losses.masked import masked_reconstruction
from sonograph.nn.encoder import Embeds
from sonograph.nn.hiding import Hiding, filler_size, patch_of
from sonograph.nn.masking import cluster_mask, published_cluster_mask, random_mask

ObjectiveName = Literal["joint", "discriminative", "generative"]


class MaskedPatches(nn.Module, Embeds):
    """The objective on any encoder (see `nn.hiding`): L = L_d + 10 L_g, equation 3.

    How much is hidden, and how, is the encoder's to say (`mask_share`, `masking`, `compat` of its
    config); one that says nothing has 400 of 512 parts hidden, in clusters.
    """

    def __init__(self, encoder: Any):
        super().__init__()
        rows, frames = patch_of(encoder)
        width, pixels = encoder.width, rows * frames
        self.encoder = encoder
        self.hidden = nn.Parameter(torch.empty(1, 1, filler_size(encoder)))
        nn.init.xavier_normal_(self.hidden)
        self.discriminate = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, pixels)
        )
        self.generate = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, pixels))

    @property
    def spec(self) -> FeatureSpec:
        return self.encoder.spec

    def draw_mask(self, clips: Hiding, generator: torch.Generator) -> Bool[Tensor, "b n"]:
        """Which parts of each clip to hide."""
        config, valid = self.encoder.config, clips.valid.cpu()
        share = getattr(config, "mask_share", 400 / 512)
        counts = (valid.sum(1) * share).round().long().clamp(min=1)
        if getattr(config, "masking", "cluster") == "random":
            hidden = random_mask(valid, counts, generator)
        elif getattr(config, "compat", "none") == "published":
            count = round(share * valid.shape[1])
            hidden = published_cluster_mask(clips.grid, count, len(valid), generator)
        else:
            hidden = cluster_mask(valid, clips.grid, counts, generator)
        return hidden.to(clips.valid.device)

    def predict(
        self, clips: Hiding, hidden: Bool[Tensor, "b n"], head: nn.Module
    ) -> tuple[Float[Tensor, "b m p"], Float[Tensor, "b m p"], Bool[Tensor, "b m"]]:
        """(predictions, targets, which of them count) for the hidden parts of each clip."""
        context = clips.encode(hidden, self.hidden)
        most = int(hidden.sum(1).max())
        order = hidden.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        take = lambda x: x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))  # noqa: E731
        return head(take(context)), take(clips.targets()), hidden.gather(1, order)

    def forward(
        self,
        features: Float[Tensor, "b rows frames"],
        lengths: Int[Tensor, "b"] | None,
        generator: torch.Generator,
        objective: ObjectiveName = "joint",
        generative_weight: float = 10.0,
    ) -> dict[str, Tensor]:
        """The loss and its parts; each half has a mask and a pass of its own."""
        clips = Hiding(self.encoder, features, lengths)
        parts: dict[str, Tensor] = {"loss": features.new_zeros(())}
        if objective != "generative":
            hidden = self.draw_mask(clips, generator)
            prediction, target, counts = self.predict(clips, hidden, self.discriminate)
            loss, accuracy = info_nce_in_clip(target, prediction, counts)
            parts |= {"loss": parts["loss"] + loss, "nce": loss, "accuracy": accuracy}
        if objective != "discriminative":
            hidden = self.draw_mask(clips, generator)
            prediction, target, counts = self.predict(clips, hidden, self.generate)
            loss = masked_reconstruction(prediction, target, counts)
            parts |= {"loss": parts["loss"] + generative_weight * loss, "mse": loss}
        return parts

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "pretraining", "system": "ssast", "encoder": self.encoder.describe()}
