"""Tacotron 2, with or without a speaker: the paper's synthesizer.

Shen et al. 2018, section 2.2; sizes and names of NVIDIA/tacotron2. With a speaker, the vector
stands beside the encoder's answer for every token (Jia et al. 2018, section 2.2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import dropout, pad

from sonograph.nn.acoustic import Text
from sonograph.nn.location_attention import LocationAttention, Read
from sonograph.nn.postnet import Postnet
from sonograph.nn.tacotron import Drops, Prenet, both_ways, seeds_of
from sonograph.systems.speak.sv2tts.sizes import Config
from sonograph.systems.speak.sv2tts.speaking import (
    LEAST_FRAMES,
    Synthesizer,
    Taught,
    ended,
    inside,
    mask_of,
)


class State(NamedTuple):
    """What the decoder remembers: both LSTMs, what was read, and the context it gave."""

    attention: tuple[Tensor, Tensor]
    decoder: tuple[Tensor, Tensor]
    read: Read
    context: Float[Tensor, "b m"]


class Tacotron2(Synthesizer):
    """Convolutions and an LSTM over tokens; two LSTMs that attend to them; a post-net."""

    def __init__(self, config: Config):
        sizes = config.tacotron2
        super().__init__(config, sizes)
        self.sizes = sizes
        rows, width = config.features.rows, sizes.width
        self.embed = nn.Embedding(config.tokens, width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, sizes.kernel, padding=sizes.kernel // 2)
            for _ in range(sizes.convolutions)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in self.convolutions)
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
        memory = width + sizes.speaker
        self.prenet = Prenet(rows, sizes.prenet)
        self.attention_lstm = nn.LSTMCell(sizes.prenet + memory, sizes.attention_lstm)
        self.attention = LocationAttention(
            sizes.attention_lstm, memory, sizes.attention, sizes.filters, sizes.filter_kernel
        )
        self.decoder_lstm = nn.LSTMCell(sizes.attention_lstm + memory, sizes.decoder_lstm)
        self.project = nn.Linear(sizes.decoder_lstm + memory, rows)
        self.stop = nn.Linear(sizes.decoder_lstm + memory, 1)
        self.postnet = Postnet(rows, sizes.postnet, sizes.postnet_kernel, sizes.postnet_layers)

    def encode(self, text: Text) -> Float[Tensor, "b n e"]:
        """What is known of each token, without who speaks."""
        mask = mask_of(text.lengths, text.ids.shape[1])
        hidden = None if self.sizes.compat == "published" else mask
        x = self.embed(text.ids)
        for convolve, norm in zip(self.convolutions, self.norms):
            x = convolve(inside(x, hidden).transpose(1, 2))
            x = dropout(norm(x).relu(), self.sizes.dropout, self.training).transpose(1, 2)
        return both_ways(self.lstm, x, mask)

    def begin(self, memory: Float[Tensor, "b n m"]) -> State:
        b, _, width = memory.shape
        first = memory.new_zeros(b, self.sizes.attention_lstm)
        second = memory.new_zeros(b, self.sizes.decoder_lstm)
        context = memory.new_zeros(b, width)
        return State((first, first), (second, second), self.attention.begin(memory), context)

    def step(
        self,
        heard: Float[Tensor, "b p"],
        state: State,
        memory: Float[Tensor, "b n m"],
        keys: Float[Tensor, "b n w"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> tuple[Float[Tensor, "b h"], State]:
        """One frame: what mel and stop are made of."""
        rate = self.sizes.lstm_dropout
        hidden, cell = self.attention_lstm(torch.cat([heard, state.context], 1), state.attention)
        attention = (dropout(hidden, rate, self.training), cell)
        read = self.attention(attention[0], keys, state.read, mask)
        context = (read.weights[:, None] @ memory)[:, 0]
        hidden, cell = self.decoder_lstm(torch.cat([attention[0], context], 1), state.decoder)
        decoder = (dropout(hidden, rate, self.training), cell)
        return torch.cat([decoder[0], context], 1), State(attention, decoder, read, context)

    def forward(
        self,
        text: Text,
        features: Float[Tensor, "b rows t"],
        lengths: Int64[Tensor, "b"],
        generator: torch.Generator | None = None,
        speakers: Float[Tensor, "b d"] | None = None,
    ) -> Taught:
        encoded = self.encode(text)
        memory = self.told(encoded, speakers)
        mask, keys = mask_of(text.lengths, text.ids.shape[1]), self.attention.keys(memory)
        past = pad(features.transpose(1, 2), (0, 0, 1, 0))[:, :-1]
        (seeds,) = seeds_of(len(past), 1, generator)
        kept = Drops(self.prenet, self.sizes.prenet_dropout, seeds).take(past.shape[1])
        heard = self.prenet(past, None if kept is None else kept.to(past))
        state, found, maps = self.begin(memory), [], []
        for frame in heard.unbind(1):
            hidden, state = self.step(frame, state, memory, keys, mask)
            found.append(hidden)
            maps.append(state.read.weights)
        hidden = torch.stack(found, 1)
        mel, stop = self.project(hidden), self.stop(hidden)[..., 0]
        return Taught(encoded, *self._refined(mel, lengths), stop, torch.stack(maps, 1))

    def _refined(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The mel and what the post-net makes of it; zero beyond lengths, unless as published."""
        if self.sizes.compat == "published":
            return mel, mel + self.postnet(mel)
        mask = mask_of(lengths, mel.shape[1])
        mel = inside(mel, mask)
        return mel, inside(mel + self._post(mel, mask), mask)

    def _post(self, mel: Tensor, mask: Tensor | None) -> Tensor:
        """The post-net, whose convolutions see nothing beyond a text's end."""
        if mask is None:
            return self.postnet(mel)
        net, x = self.postnet, mel.transpose(1, 2)
        for place, (convolve, norm) in enumerate(zip(net.convolutions, net.norms)):
            x = norm(convolve(x * mask[:, None]))
            x = net.dropout(x.tanh() if place < len(net.norms) - 1 else x)
        return x.transpose(1, 2)

    def generate(
        self,
        text: Text,
        generator: torch.Generator | None = None,
        speakers: Float[Tensor, "b d"] | None = None,
    ) -> tuple[Float[Tensor, "b rows t"], Int64[Tensor, "b"], Float[Tensor, "b t n"]]:
        memory = self.told(self.encode(text), speakers)
        mask, keys = mask_of(text.lengths, text.ids.shape[1]), self.attention.keys(memory)
        b, most = len(text.ids), self.most_frames
        least = 0 if self.sizes.compat == "published" else LEAST_FRAMES
        lengths = torch.full((b,), most, device=memory.device)
        last = memory.new_zeros(b, self.spec.rows)
        state, said, maps = self.begin(memory), [], []
        (seeds,) = seeds_of(b, 1, generator)
        for t, kept in zip(range(most), Drops(self.prenet, self.sizes.prenet_dropout, seeds)):
            heard = self.prenet(last, None if kept is None else kept.to(last))
            hidden, state = self.step(heard, state, memory, keys, mask)
            last = self.project(hidden)
            said.append(last)
            maps.append(state.read.weights)
            lengths = ended(lengths, self.stop(hidden)[:, 0], t + 1, most, least)
            if bool((lengths <= t + 1).all()):
                break
        mel = torch.stack(said, 1)
        lengths = lengths.clamp(max=mel.shape[1])
        return self._refined(mel, lengths)[1].transpose(1, 2), lengths, torch.stack(maps, 1)
