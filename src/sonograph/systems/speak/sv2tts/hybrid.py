"""RTVC's synthesizer: a Tacotron 1 encoder and post-net around a Tacotron 2 like decoder.

Sizes and names of CorentinJ/Real-Time-Voice-Cloning, which has them from fatchord/WaveRNN.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import pad

from sonograph.nn.acoustic import Text
from sonograph.nn.location_attention import LocationAttention, Read
from sonograph.nn.tacotron import CBHG, Drops, Prenet, seeds_of, zoneout
from sonograph.systems.speak.sv2tts.sizes import Config
from sonograph.systems.speak.sv2tts.speaking import Synthesizer, Taught, ended, inside, mask_of


class State(NamedTuple):
    """What the decoder remembers: the GRU, both LSTMs, what was read, and the context it gave."""

    attention: Float[Tensor, "b a"]
    first: tuple[Tensor, Tensor]
    second: tuple[Tensor, Tensor]
    read: Read
    context: Float[Tensor, "b m"]


class Hybrid(Synthesizer):
    """Several frames a step, from the last one before them."""

    def __init__(self, config: Config):
        sizes = config.hybrid
        super().__init__(config, sizes)
        self.sizes = sizes
        rows, width, memory = config.features.rows, sizes.decoder, sizes.encoder + sizes.speaker
        self.embed = nn.Embedding(config.tokens, sizes.width)
        self.text_prenet = Prenet(sizes.width, sizes.encoder, bias=True)
        projections = (sizes.encoder, sizes.encoder)
        self.cbhg = CBHG(sizes.encoder, sizes.encoder, sizes.bank, projections, sizes.highways)
        self.prenet = Prenet(rows, sizes.prenet, bias=True)
        self.gru = nn.GRUCell(memory + sizes.prenet, sizes.attention)
        self.attention = LocationAttention(
            sizes.attention,
            memory,
            sizes.attention,
            sizes.filters,
            sizes.filter_kernel,
            sees="total",
            bias=True,
            padding="zero energy" if sizes.compat == "published" else "excluded",
        )
        self.enter = nn.Linear(memory + sizes.attention, width)
        self.first, self.second = nn.LSTMCell(width, width), nn.LSTMCell(width, width)
        self.project = nn.Linear(width, rows * sizes.most_at_once, bias=False)
        self.stop = nn.Linear(width + memory, 1)
        self.postnet = CBHG(
            rows, sizes.postnet, sizes.postnet_bank, (sizes.postnet, rows), sizes.highways
        )
        self.refine = nn.Linear(sizes.postnet, rows, bias=False)

    def encode(self, text: Text, kept: Float[Tensor, "b n layers d"] | None) -> Tensor:
        """(b, n, e) what is known of each token. kept: of the pre-net, see `nn/tacotron.py`."""
        published = self.sizes.compat == "published"
        mask = None if published else mask_of(text.lengths, text.ids.shape[1])
        return self.cbhg(self.text_prenet(self.embed(text.ids), kept), mask)

    def _drops(self, b: int, generator: torch.Generator | None) -> tuple[Drops, Drops]:
        """Of the tokens' pre-net, and of the frames'."""
        first, second = seeds_of(b, 2, generator)
        rate = self.sizes.prenet_dropout
        return Drops(self.text_prenet, rate, first), Drops(self.prenet, rate, second)

    def _mask(self, text: Text) -> Bool[Tensor, "b n"] | None:
        if self.sizes.compat == "published":  # they look for zeros
            return text.ids != 0
        return mask_of(text.lengths, text.ids.shape[1])

    def begin(self, memory: Float[Tensor, "b n m"]) -> State:
        b, _, width = memory.shape
        none = memory.new_zeros(b, self.sizes.decoder)
        return State(
            memory.new_zeros(b, self.sizes.attention),
            (none, none),
            (none, none),
            self.attention.begin(memory),
            memory.new_zeros(b, width),
        )

    def step(
        self,
        heard: Float[Tensor, "b p"],
        state: State,
        memory: Float[Tensor, "b n m"],
        keys: Float[Tensor, "b n w"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> tuple[Float[Tensor, "b r rows"], Float[Tensor, "b"], State]:
        """The frames of one step, and the logit that they are the last."""
        attention = self.gru(torch.cat([state.context, heard], 1), state.attention)
        read = self.attention(attention, keys, state.read, mask)
        context = (read.weights[:, None] @ memory)[:, 0]
        x = self.enter(torch.cat([context, attention], 1))
        first = self._next(self.first, x, state.first)
        x = x + first[0]
        second = self._next(self.second, x, state.second)
        x = x + second[0]
        frames = self.project(x).unflatten(1, (self.spec.rows, -1))[:, :, : self.sizes.at_once]
        stop = self.stop(torch.cat([x, context], 1))[:, 0]
        return frames.transpose(1, 2), stop, State(attention, first, second, read, context)

    def _next(
        self, cell: nn.LSTMCell, x: Float[Tensor, "b w"], before: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One step of an LSTM whose output, not its cell, is zoned out."""
        hidden, memorised = cell(x, before)
        return zoneout(before[0], hidden, self.sizes.zoneout, self.training), memorised

    def forward(
        self,
        text: Text,
        features: Float[Tensor, "b rows t"],
        lengths: Int64[Tensor, "b"],
        generator: torch.Generator | None = None,
        speakers: Float[Tensor, "b d"] | None = None,
    ) -> Taught:
        b, n = text.ids.shape
        of_text, drops = self._drops(b, generator)
        kept = of_text.take(n)
        encoded = self.encode(text, None if kept is None else kept.to(features))
        memory = self.told(encoded, speakers)
        mask, keys = self._mask(text), self.attention.keys(memory)
        frames, each = features.shape[2], self.sizes.at_once
        past = pad(features.transpose(1, 2), (0, 0, 1, 0))[:, :-1:each]
        kept = drops.take(past.shape[1])
        heard = self.prenet(past, None if kept is None else kept.to(past))
        state, said, stops, maps = self.begin(memory), [], [], []
        for one in heard.unbind(1):
            made, stop, state = self.step(one, state, memory, keys, mask)
            said.append(made)
            stops.append(stop)
            maps.append(state.read.weights)
        if self.sizes.compat == "published":  # a last step says whole frames, which are kept
            frames = each * len(said)
        mel = torch.cat(said, 1)[:, :frames]
        stop = torch.stack(stops, 1).repeat_interleave(each, 1)[:, :frames]
        return Taught(memory, *self._refined(mel, lengths), stop, torch.stack(maps, 1))

    def _refined(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The mel and what the post-net makes of it: not added, but in its place."""
        if self.sizes.compat == "published":
            return mel, self.refine(self.postnet(mel, None))
        mask = mask_of(lengths, mel.shape[1])
        mel = inside(mel, mask)
        return mel, inside(self.refine(self.postnet(mel, mask)), mask)

    def generate(
        self,
        text: Text,
        generator: torch.Generator | None = None,
        speakers: Float[Tensor, "b d"] | None = None,
    ) -> tuple[Float[Tensor, "b rows t"], Int64[Tensor, "b"], Float[Tensor, "b t n"]]:
        b, n = text.ids.shape
        of_text, drops = self._drops(b, generator)
        kept = of_text.take(n)
        encoded = self.encode(text, None if kept is None else kept.to(self.embed.weight))
        memory = self.told(encoded, speakers)
        mask, keys = self._mask(text), self.attention.keys(memory)
        most, each = self.most_frames, self.sizes.at_once
        if self.sizes.compat == "published":  # whole steps
            most = -(-most // each) * each
        lengths = torch.full((b,), most, device=memory.device)
        last = memory.new_zeros(b, self.spec.rows)
        state, said, maps = self.begin(memory), [], []
        for t, kept in zip(range(0, most, each), drops):
            heard = self.prenet(last, None if kept is None else kept.to(last))
            made, stop, state = self.step(heard, state, memory, keys, mask)
            last = made[:, -1]
            said.append(made)
            maps.append(state.read.weights)
            if self.sizes.compat == "published":
                done = t > 10 and bool((stop > 0).all())
                lengths = lengths.clamp(max=t + each) if done else lengths
            else:
                lengths = ended(lengths, stop, t + each, most)
            if bool((lengths <= t + each).all()):
                break
        mel = torch.cat(said, 1)[:, :most]
        lengths = lengths.clamp(max=mel.shape[1])
        attention = torch.stack(maps, 1).repeat_interleave(each, 1)[:, : mel.shape[1]]
        return self._refined(mel, lengths)[1].transpose(1, 2), lengths, attention
