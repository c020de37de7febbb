"""The teacher: Transformer TTS, one frame after the other, that durations and mels come from.

Li, Liu, Liu, Zhao and Liu, "Neural Speech Synthesis with Transformer Network", AAAI 2019, with the
convolutional inner layers of FastSpeech's blocks, as its authors had it (section 4.2). Keys and
values of all past frames, and the inputs that the causal convolutions still need, are kept, so that
a frame costs the same wherever it stands.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention

from sonograph.losses.guided_attention import guided_attention_loss
from sonograph.nn.acoustic import (
    Acoustic,
    Controls,
    SpeechBatch,
    Spoken,
    Text,
    mask_of,
    require_text,
)
from sonograph.nn.fft_block import masked
from sonograph.nn.monotonic import Durations, from_attention
from sonograph.nn.postnet import Postnet
from sonograph.systems.speak.fastspeech.model import Config, PostNormStack, positions

PRENET_DROPOUT = 0.5  # of the mel pre-net, always on: it keeps the decoder from copying
STOP_WEIGHT = 5.0  # of the one positive frame of each text
GUIDE_WEIGHT = 2.0  # of guided attention: minutes of speech align the sooner


class Cache(NamedTuple):
    """What a decoder block remembers of the past; tensors grow by a frame a step."""

    keys: Float[Tensor, "b h t c"]
    values: Float[Tensor, "b h t c"]
    text_keys: Float[Tensor, "b h n c"]
    text_values: Float[Tensor, "b h n c"]
    inner: Float[Tensor, "b d k"]  # the last inputs of the two convolutions
    outer: Float[Tensor, "b e k"]


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to the text, causal convolutions; norms after the sums."""

    def __init__(
        self, width: int, num_heads: int, hidden: int, kernels: tuple[int, int], rate: float
    ):
        super().__init__()
        self.num_heads, self.kernels = num_heads, kernels
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.query, self.text = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.project_text = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Conv1d(width, hidden, kernels[0])
        self.contract = nn.Conv1d(hidden, width, kernels[1])
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(rate)

    def _heads(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        return x.reshape(b, t, self.num_heads, -1).transpose(1, 2)

    def _joined(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def begin(self, encoded: Float[Tensor, "b n d"]) -> Cache:
        """The memory before the first frame."""
        b, _, width = encoded.shape
        keys, values = map(self._heads, self.text(encoded).chunk(2, dim=2))
        none = keys[:, :, :0]
        inner = encoded.new_zeros(b, width, self.kernels[0] - 1)
        outer = encoded.new_zeros(b, self.expand.out_channels, self.kernels[1] - 1)
        return Cache(none, none, keys, values, inner, outer)

    def step(
        self, x: Float[Tensor, "b 1 d"], cache: Cache, text_mask: Tensor | None
    ) -> tuple[Float[Tensor, "b 1 d"], Cache]:
        """One more frame, and the memory with it."""
        q, k, v = map(self._heads, self.qkv(x).chunk(3, dim=2))
        keys, values = torch.cat([cache.keys, k], 2), torch.cat([cache.values, v], 2)
        x = self.norm1(
            x + self.project(self._joined(scaled_dot_product_attention(q, keys, values)))
        )
        q = self._heads(self.query(x))
        heard = scaled_dot_product_attention(q, cache.text_keys, cache.text_values, text_mask)
        x = self.norm2(x + self.project_text(self._joined(heard)))
        inner = torch.cat([cache.inner, x.transpose(1, 2)], 2)
        outer = torch.cat([cache.outer, self.expand(inner).relu()], 2)
        x = self.norm3(x + self.contract(outer).transpose(1, 2))
        return x, Cache(
            keys, values, cache.text_keys, cache.text_values, inner[:, :, 1:], outer[:, :, 1:]
        )

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        encoded: Float[Tensor, "b n d"],
        text_mask: Bool[Tensor, "b 1 1 n"] | None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b h t n"]]:
        """All frames at once, and how they attend to the text."""
        q, k, v = map(self._heads, self.qkv(x).chunk(3, dim=2))
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = self.norm1(x + self.dropout(self.project(self._joined(mixed))))
        q = self._heads(self.query(x))
        keys, values = map(self._heads, self.text(encoded).chunk(2, dim=2))
        scores = q @ keys.transpose(2, 3) * q.shape[-1] ** -0.5
        if text_mask is not None:
            scores = scores.masked_fill(~text_mask, -torch.inf)
        attention = scores.softmax(3)
        x = self.norm2(x + self.dropout(self.project_text(self._joined(attention @ values))))
        pad = nn.functional.pad
        inner = self.expand(pad(x.transpose(1, 2), (self.kernels[0] - 1, 0))).relu()
        out = self.contract(pad(inner, (self.kernels[1] - 1, 0))).transpose(1, 2)
        return self.norm3(x + self.dropout(out)), attention


class Taught(NamedTuple):
    """One teacher-forced pass. attention: (maps, b, t, n), all heads of all layers."""

    mel: Float[Tensor, "b t rows"]
    refined: Float[Tensor, "b t rows"]
    stop: Float[Tensor, "b t"]
    attention: Float[Tensor, "maps b t n"]


class TransformerTTS(Acoustic):
    """Tokens to features frame by frame, until it says that it has done."""

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.spec, self.alphabet = config, config.features, config.alphabet
        width, rows = config.width, config.features.rows
        self.embed = nn.Embedding(config.tokens, width)
        self.text_prenet = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(3))
        self.text_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.text_project = nn.Linear(width, width)
        self.encoder = PostNormStack(config.encoder, width, config.compat)
        self.mel_prenet = nn.ModuleList([nn.Linear(rows, width), nn.Linear(width, width)])
        self.mel_project = nn.Linear(width, width)
        self.position_scale = nn.Parameter(torch.ones(1))
        stack = config.decoder
        self.blocks = nn.ModuleList(
            DecoderBlock(width, stack.num_heads, stack.hidden, stack.kernels, stack.dropout)
            for _ in range(stack.depth)
        )
        self.project, self.stop = nn.Linear(width, rows), nn.Linear(width, 1)
        self.postnet = Postnet(rows) if config.postnet == "tacotron2" else None

    def encode(self, text: Text) -> Float[Tensor, "b n d"]:
        mask = mask_of(text.lengths, text.ids.shape[1])
        x = self.embed(text.ids)
        for convolve, norm in zip(self.text_prenet, self.text_norms):
            x = norm(convolve(masked(x, mask).transpose(1, 2)).transpose(1, 2)).relu()
        return self.encoder(self.text_project(x), mask)

    def _heard(self, frames: Float[Tensor, "b t rows"], noise: torch.Generator | None) -> Tensor:
        """Past frames through the pre-net, whose dropout is always on."""
        x = frames
        for layer in self.mel_prenet:
            x = layer(x).relu()
            if noise is None:
                x = dropout(x, PRENET_DROPOUT, training=True)
            else:
                kept = torch.rand(x.shape, generator=noise) >= PRENET_DROPOUT
                x = x * kept.to(x) / (1 - PRENET_DROPOUT)
        return self.mel_project(x)

    def forward(
        self,
        text: Text,
        features: Float[Tensor, "b rows t"],
        lengths: Int64[Tensor, "b"],
        generator: torch.Generator | None = None,
    ) -> Taught:
        """Every frame from the true ones before it."""
        mask = mask_of(text.lengths, text.ids.shape[1])
        text_mask = None if mask is None else mask[:, None, None]
        encoded = self.encode(text)
        past = nn.functional.pad(features.transpose(1, 2), (0, 0, 1, 0))[:, :-1]
        x = self._heard(past, generator)
        x = x + self.position_scale * positions(x.shape[1], x.shape[2], x)
        maps = []
        for block in self.blocks:
            x, attention = block(x, encoded, text_mask)
            maps.append(attention)
        inside = mask_of(lengths, x.shape[1])
        mel = masked(self.project(x), inside)
        refined = mel if self.postnet is None else masked(mel + self.postnet(mel, inside), inside)
        return Taught(mel, refined, self.stop(x)[..., 0], torch.cat(maps, 1).transpose(0, 1))

    @torch.no_grad()
    def generate(
        self,
        text: Text,
        frames: int,
        stops: bool = True,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "b rows t"], Int64[Tensor, "b"]]:
        """Up to `frames` frames, each from the ones before; where `stops`, until all have said so.

        Returns features and lengths; features beyond a length are 0.
        """
        mask = mask_of(text.lengths, text.ids.shape[1])
        text_mask = None if mask is None else mask[:, None, None]
        encoded = self.encode(text)
        caches = [block.begin(encoded) for block in self.blocks]  # type: ignore[operator]
        b = len(text.ids)
        last = encoded.new_zeros(b, 1, self.spec.rows)
        lengths = torch.full((b,), frames, device=last.device)
        places = positions(frames, self.config.width, encoded)
        said = []
        for t in range(frames):
            x = self._heard(last, generator) + self.position_scale * places[t]
            for k, block in enumerate(self.blocks):
                x, caches[k] = block.step(x, caches[k], text_mask)  # type: ignore[operator]
            last = self.project(x)
            said.append(last)
            if stops:
                done = (self.stop(x)[:, 0, 0] > 0) & (lengths == frames)
                lengths = torch.where(done, t + 1, lengths)
                if bool((lengths <= t + 1).all()):
                    break
        mel = torch.cat(said, 1)
        lengths = lengths.clamp(max=mel.shape[1])
        inside = mask_of(lengths, mel.shape[1])
        mel = masked(mel, inside)
        if self.postnet is not None:
            mel = masked(mel + self.postnet(mel, inside), inside)
        return mel.transpose(1, 2), lengths

    @torch.no_grad()
    def speak(
        self,
        text: Text,
        controls: Controls = Controls(),  # noqa: B008
        generator: torch.Generator | None = None,
    ) -> Spoken:
        """At most 20 frames a token. It has no controls: those given are not obeyed."""
        require_text(text, self.config.tokens)
        features, lengths = self.generate(
            text, 20 * int(text.lengths.max()) + 20, generator=generator
        )
        found = self.durations(text, features, lengths, generator)
        return Spoken(features, lengths, found.frames)

    @torch.no_grad()
    def durations(
        self,
        text: Text,
        features: Float[Tensor, "b rows t"],
        lengths: Int64[Tensor, "b"],
        generator: torch.Generator | None = None,
    ) -> Durations:
        """Frames of each token by its most diagonal head, and that head's focus rate."""
        taught = self(text, features, lengths, generator)
        return from_attention(taught.attention, lengths, text.lengths)

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "acoustic", "system": "fastspeech", "config": self.config.to_dict()}


def teacher_losses(
    model: TransformerTTS, batch: SpeechBatch, generator: torch.Generator | None
) -> dict[str, Tensor]:
    """Squared error of both mels, the stop token's cross-entropy, its end counted more, and how
    far all attention to the text lies from the diagonal: the paper says nothing of the last, most
    who build it again add it.
    """
    said = model(batch.text, batch.features, batch.lengths, generator)
    place = torch.arange(batch.features.shape[2], device=batch.features.device)
    inside = place < batch.lengths[:, None]
    target, count = batch.features.transpose(1, 2), inside.sum().clamp(min=1)
    parts = {"mel": (((said.mel - target).square().mean(2)) * inside).sum() / count}
    if model.postnet is not None:
        parts["refined"] = (((said.refined - target).square().mean(2)) * inside).sum() / count
    ends = (place == batch.lengths[:, None] - 1).to(said.stop.dtype)
    stop = nn.functional.binary_cross_entropy_with_logits(
        said.stop, ends, reduction="none", pos_weight=said.stop.new_tensor(STOP_WEIGHT)
    )
    parts["stop"] = (stop * inside).sum() / count
    parts["guide"] = guided_attention_loss(said.attention, batch.lengths, batch.text.lengths)
    weights = {"guide": GUIDE_WEIGHT}
    total = sum((weights.get(name, 1.0) * value for name, value in parts.items()), torch.zeros(()))
    return {"loss": total} | parts
