"""The generalised end-to-end loss: whose utterance is this, among the speakers of the batch?

Wan, Wang, Papir and Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", ICASSP
2018, equations 1, 8 and 9 (softmax form). Shapes: s speakers, u utterances of each, d numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sonograph.errors import InputError


class Judged(NamedTuple):
    """loss: mean over all utterances, in nats. similarity: of each utterance to each speaker."""

    loss: Float[Tensor, ""]
    similarity: Float[Tensor, "s u s"]


class GE2E(nn.Module):
    """Similarity is scale * cosine + offset, of an utterance to every speaker's centroid.

    Its own speaker's centroid leaves the utterance itself out. Scale and offset learn, from 10 and
    -5 on; `gradient_scale` of their gradient reaches them, as the paper has it (0.01).

    >>> embeddings = torch.eye(3)[:, None].expand(3, 2, 3)
    >>> GE2E()(embeddings).similarity[0, 0].round().tolist()
    [5.0, -5.0, -5.0]
    """

    def __init__(self, gradient_scale: float = 0.01, norm_eps: float = 1e-5):
        super().__init__()
        self.scale, self.offset = (
            nn.Parameter(torch.tensor([10.0])),
            nn.Parameter(torch.tensor([-5.0])),
        )
        self.gradient_scale, self.norm_eps = gradient_scale, norm_eps

    def forward(self, embeddings: Float[Tensor, "s u d"]) -> Judged:
        """embeddings: of length 1. Raises InputError for less than two speakers or utterances."""
        speakers, utterances, _ = embeddings.shape
        if speakers < 2 or utterances < 2:
            raise InputError(
                f"{speakers} speakers of {utterances} utterances: GE2E compares at least two of two"
            )
        total = embeddings.sum(1, keepdim=True)
        centroids = self._unit(total / utterances)[:, 0]
        others = self._unit((total - embeddings) / (utterances - 1))
        cosine = torch.einsum("sud,kd->suk", embeddings, centroids)
        own = torch.eye(speakers, dtype=torch.bool, device=embeddings.device)[:, None]
        cosine = torch.where(own, (embeddings * others).sum(2, keepdim=True), cosine)
        similarity = self._damped(self.scale) * cosine + self._damped(self.offset)
        labels = torch.arange(speakers, device=embeddings.device).repeat_interleave(utterances)
        return Judged(cross_entropy(similarity.reshape(-1, speakers), labels), similarity)

    def _unit(self, x: Tensor) -> Tensor:
        return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + self.norm_eps)

    def _damped(self, weight: Tensor) -> Tensor:
        fixed = weight.detach()
        return fixed + self.gradient_scale * (weight - fixed)
