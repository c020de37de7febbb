"""What turns patches into labels: a random projection at first, then a tokenizer that is taught."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, layer_norm, normalize

from sonograph.audio.feature_spec import FeatureSpec
from sonograph.nn.codebook import Codebook, nearest, perplexity
from sonograph.nn.encoder import Embeds, Tokens
from sonograph.nn.gated_bias import GatedTransformer
from sonograph.systems.represent.beats.model import (
    BEATs,
    Config,
    frequency_major,
    time_major,
)


class RandomTokenizer(nn.Module):
    """Labels of a random projection and a random codebook, never trained (BEST-RQ).

    Paper, equation 1: the code nearest to W x. As in the open re-implementation, the projection
    goes through `patch_width` and is normalised twice, so that loudness does not decide. All of it
    is buffers, in float32.
    """

    def __init__(self, pixels: int, patch_width: int = 512, codes: int = 1024, width: int = 256):
        super().__init__()
        self.projection: Tensor
        self.contraction: Tensor
        self.codes: Tensor
        self.register_buffer("projection", nn.init.xavier_normal_(torch.empty(patch_width, pixels)))
        self.register_buffer("contraction", nn.init.xavier_normal_(torch.empty(width, patch_width)))
        self.register_buffer("codes", torch.randn(codes, width))

    @torch.no_grad()
    def tokenize(self, patches: Float[Tensor, "b n pixels"]) -> Int[Tensor, "b n"]:
        """The label of every patch."""
        with torch.autocast(patches.device.type, enabled=False):
            wide = patches.float() @ self.projection.T
            code = layer_norm(wide, wide.shape[-1:]) @ self.contraction.T
            code = layer_norm(code, code.shape[-1:])
        return nearest(code.flatten(0, 1), self.codes).view(code.shape[:2])


class Tokenizer(nn.Module, Embeds):
    """A taught tokenizer: an encoder, two linear layers, and the nearest of unit codes.

    It is an encoder of the house whose tokens are the chosen codes (b, n, code_width);
    `tokenize` gives their numbers. Published as Tokenizer_iter2 and so on.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.backbone = BEATs(dataclasses.replace(config, form="encoder"))
        self.spec, self.width, self.grid = config.features, config.code_width, config.grid
        self.quantise = nn.Sequential(
            nn.Linear(config.width, config.width),
            nn.Tanh(),
            nn.Linear(config.width, config.code_width),
        )
        self.codebook = Codebook(config.codes, config.code_width)

    def forward(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Tokens:
        return self.quantised(features, lengths)[1]

    def quantised(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None
    ) -> tuple[Float[Tensor, "b n c"], Tokens, Int[Tensor, "b n"]]:
        """(unit vectors before the codebook, tokens after it, labels); padding has label 0."""
        tokens = self.backbone(features, lengths)
        with torch.autocast(features.device.type, enabled=False):
            vectors = normalize(self.quantise(tokens.values.float()), dim=-1)
        valid = _valid(tokens)
        if self.config.compat == "published":  # padding has labels too, which mean nothing
            valid = torch.ones_like(valid)
        chosen, codes = self.codebook(vectors[valid])
        labels = torch.zeros(valid.shape, dtype=torch.long, device=valid.device)
        labels[valid] = codes
        after = torch.zeros_like(vectors)
        after[valid] = chosen
        return vectors, dataclasses.replace(tokens, values=after), labels

    @torch.no_grad()
    def tokenize(
        self, features: Float[Tensor, "b bins frames"], lengths: Int[Tensor, "b"] | None = None
    ) -> Int[Tensor, "b n"]:
        """The label of every patch, in frequency-major order; 0 for padding."""
        return self.quantised(features, lengths)[2]

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "encoder", "system": "beats", "config": self.config.to_dict()}


class Distillation(nn.Module):
    """Teach a tokenizer what an encoder knows: section 3.2.2, equation 3.

    From the codes alone an estimator has to give the teacher's outputs (cosine), while vectors are
    held to their codes. The teacher is frozen and stays in evaluation mode.
    """

    def __init__(self, tokenizer: Tokenizer, teacher: BEATs):
        super().__init__()
        config = tokenizer.config
        self.tokenizer, self.teacher = tokenizer, teacher.requires_grad_(False).eval()
        self.widen = nn.Linear(config.code_width, config.width)
        self.estimator = GatedTransformer(
            config.width,
            config.estimator_depth,
            config.num_heads,
            config.hidden,
            config.num_buckets,
            config.max_distance,
            dropout=config.dropout,
        )
        self.norm = nn.LayerNorm(config.width)
        self.answer = nn.Linear(config.width, teacher.width)

    @property
    def spec(self) -> FeatureSpec:
        return self.tokenizer.spec

    @property
    def encoder(self) -> Tokenizer:
        """What is taught."""
        return self.tokenizer

    def train(self, mode: bool = True) -> Distillation:
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(
        self,
        features: Float[Tensor, "b bins frames"],
        lengths: Int[Tensor, "b"] | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            wanted = self.teacher(features, lengths).values.float()
        vectors, tokens, labels = self.tokenizer.quantised(features, lengths)
        mask = None if tokens.mask is None else time_major(tokens.mask, tokens.grid)
        x = self.estimator(self.widen(time_major(tokens.values, tokens.grid)), mask)
        guess = frequency_major(self.answer(self.norm(x)), tokens.grid).float()
        valid = _valid(tokens)
        distance = 1 - cosine_similarity(guess[valid], wanted[valid], dim=-1).mean()
        commitment = (vectors[valid] - tokens.values[valid].detach()).square().mean()
        used = perplexity(labels[valid], self.tokenizer.config.codes)
        return {
            "loss": distance + self.tokenizer.config.commitment * commitment,
            "cosine_distance": distance,
            "commitment": commitment,
            "perplexity": torch.tensor(used),
        }

    def describe(self) -> dict[str, Any]:
        """What it is; the tokenizer alone is what is kept of it."""
        return {"kind": "distillation", "system": "beats", "encoder": self.tokenizer.describe()}


def _valid(tokens: Tokens) -> Bool[Tensor, "b n"]:
    if tokens.mask is not None:
        return tokens.mask
    return torch.ones(tokens.values.shape[:2], dtype=torch.bool, device=tokens.values.device)
