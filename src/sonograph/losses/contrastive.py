"""Contrastive losses."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def info_nce_in_clip(
    targets: Float[Tensor, "b m p"],
    predictions: Float[Tensor, "b m p"],
    valid: Bool[Tensor, "b m"] | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Which of a clip's predictions belongs to each target? (loss in nats, accuracy)

    The accuracy asks the other way round, as the published one does: the share of predictions
    that no other target of the clip claims more strongly than their own.

    Logits are plain dot products without temperature or normalisation; for each target the
    softmax runs over the predictions of the same clip. SSAST (Gong et al. 2022), equation 1, as
    in the official code, which swaps the roles of targets and predictions. Always in float32,
    since raw dot products grow large.
    """
    with torch.autocast(targets.device.type, enabled=False):
        logits = targets.float() @ predictions.float().transpose(1, 2)
        if valid is None:
            valid = torch.ones(targets.shape[:2], dtype=torch.bool, device=targets.device)
        logits = logits.masked_fill(~valid[:, None, :], float("-inf"))
        own = torch.arange(logits.shape[1], device=logits.device)
        shares = logits.log_softmax(2).masked_fill(~valid[:, :, None], float("-inf"))
        right = (shares.argmax(1) == own)[valid]
        return -shares.diagonal(dim1=1, dim2=2)[valid].mean(), right.float().mean()


def nt_xent(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], temperature: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Which of all other vectors is the other view of the same thing? (loss in nats, accuracy)

    first[i] and second[i] are two views of one thing; each of the 2n is asked for its partner
    among the 2n - 1 others, by cosine over temperature. SimCLR (Chen et al. 2020), equation 1 and
    algorithm 1. Always in float32.
    """
    count = len(first)
    with torch.autocast(first.device.type, enabled=False):
        views = normalize(torch.cat([first, second]).float(), dim=1)
        itself = torch.eye(2 * count, dtype=torch.bool, device=views.device)
        logits = (views @ views.T / temperature).masked_fill(itself, float("-inf"))
        partner = torch.arange(2 * count, device=views.device).roll(count)
        right = (logits.argmax(1) == partner).float().mean()
        return cross_entropy(logits, partner), right
