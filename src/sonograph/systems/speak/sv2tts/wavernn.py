"""RTVC's vocoder: a WaveRNN of two GRUs, conditioned on the mel and on a residual network of it.

Kalchbrenner et al. 2018 in the form of fatchord/WaveRNN; names as in CorentinJ's checkpoint. Long
sounds are made in pieces at once ("folded"). What depends on the condition alone is multiplied once
a frame, not once a sample.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.vocoder import Vocoder
from sonograph.systems.speak.sv2tts import sampling
from sonograph.systems.speak.sv2tts.sizes import Config, Upsampling

PARTS = 4  # of what the residual network says: of each of the four layers one


class Residual(nn.Module):
    """Two pointwise convolutions beside the way through."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 1, bias=False)
        self.conv2 = nn.Conv1d(width, width, 1, bias=False)
        self.batch_norm1, self.batch_norm2 = nn.BatchNorm1d(width), nn.BatchNorm1d(width)

    def forward(self, x: Float[Tensor, "b w t"]) -> Float[Tensor, "b w t"]:
        return x + self.batch_norm2(self.conv2(self.batch_norm1(self.conv1(x)).relu()))


class MelNetwork(nn.Module):
    """Features to `out` numbers a frame; it takes `context` frames more to each side."""

    def __init__(self, rows: int, sizes: Upsampling):
        super().__init__()
        self.conv_in = nn.Conv1d(rows, sizes.width, 2 * sizes.context + 1, bias=False)
        self.batch_norm = nn.BatchNorm1d(sizes.width)
        self.layers = nn.ModuleList(Residual(sizes.width) for _ in range(sizes.blocks))
        self.conv_out = nn.Conv1d(sizes.width, sizes.out, 1)

    def forward(self, features: Float[Tensor, "b rows s"]) -> Float[Tensor, "b out t"]:
        x = self.batch_norm(self.conv_in(features)).relu()
        for layer in self.layers:
            x = layer(x)
        return self.conv_out(x)


class Repeat(nn.Module):
    """Every column so many times."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def forward(self, x: Float[Tensor, "b 1 rows t"]) -> Float[Tensor, "b 1 rows m"]:
        return x.repeat_interleave(self.factor, -1)


class Upsample(nn.Module):
    """Features of frames to those of samples, and what `MelNetwork` says of each frame."""

    def __init__(self, rows: int, sizes: Upsampling):
        super().__init__()
        self.edge = sizes.context * math.prod(sizes.factors)
        self.resnet = MelNetwork(rows, sizes)
        self.up_layers = nn.ModuleList()
        for factor in sizes.factors:
            size = 2 * factor + 1
            smooth = nn.Conv2d(1, 1, (1, size), padding=(0, factor), bias=False)
            nn.init.constant_(smooth.weight, 1 / size)
            self.up_layers += [Repeat(factor), smooth]

    def forward(
        self, features: Float[Tensor, "b rows s"]
    ) -> tuple[Float[Tensor, "b m rows"], Float[Tensor, "b t out"]]:
        x = features[:, None]
        for layer in self.up_layers:
            x = layer(x)
        x = x[:, 0, :, self.edge : x.shape[3] - self.edge]
        return x.transpose(1, 2), self.resnet(features).transpose(1, 2)


class Conditioned(Vocoder):
    """What both autoregressive vocoders share: condition, pieces, the level of the ends.

    A subclass gives `logits` (teacher forced) and `pieces` (sample after sample).
    """

    context_frames = None  # every sample hears all before it

    def __init__(self, config: Config, sizes: Any):
        super().__init__()
        self.config, self.sizes, self.spec = config, sizes, config.features
        self.said = sampling.Said(sizes.samples)

    def condition(self, features: Float[Tensor, "b rows t"]) -> tuple[Tensor, Tensor]:
        """(b, n, rows) of samples and (b, t, out) of frames; zeros stand around the features."""
        edge = self.sizes.upsampling.context
        return self.upsample(F.pad(features / self.sizes.divide, (edge, edge)))  # type: ignore[operator]

    @torch.no_grad()
    def forward(
        self, features: Float[Tensor, "b rows t"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n"]:
        """Drawn sample by sample, pieces of all clips together; without gradients."""
        mel, frames = self.condition(features)
        cut = sampling.pieces_of(mel.shape[1], self.sizes.folding)
        noise = torch.cat(
            [sampling.uniforms(cut, self.said.draws, generator) for _ in range(len(features))]
        )
        starts = torch.tensor(cut.starts).repeat(len(features)).to(mel.device)
        clip = torch.arange(len(features), device=mel.device).repeat_interleave(len(cut.starts))
        made = self.pieces(mel, frames, clip, starts, noise.to(mel.device))
        each = self.said.decode(made).split(len(cut.starts))
        sound = torch.stack([sampling.joined(x, cut, self.sizes.folding.overlap) for x in each])
        return sampling.plain_again(sound, self.spec.preemphasis)

    def pieces(
        self, mel: Tensor, frames: Tensor, clip: Tensor, starts: Tensor, noise: Tensor
    ) -> Float[Tensor, "k length"]:
        """Pieces, as encoded samples: piece i is of clip[i], from sample starts[i] on."""
        raise NotImplementedError

    def logits(
        self, before: Float[Tensor, "b n"], features: Float[Tensor, "b rows t"]
    ) -> Float[Tensor, "b n c"]:
        """What is said of each sample, given the encoded one before it."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return {"kind": "vocoder", "system": "sv2tts", "config": self.config.to_dict()}


class Gates(NamedTuple):
    """A GRU cell's weights, those of its input cut where a condition begins."""

    inner: Tensor
    condition: Tensor
    input_bias: Tensor
    hidden: Tensor
    hidden_bias: Tensor


class WaveRNN(Conditioned):
    """Two GRUs with the way through beside them, two layers, and what is said of the sample."""

    def __init__(self, config: Config):
        sizes = config.wavernn
        super().__init__(config, sizes)
        rows, width, part = self.spec.rows, sizes.width, sizes.upsampling.out // PARTS
        self.upsample = Upsample(rows, sizes.upsampling)
        self.I = nn.Linear(1 + rows + part, width)
        self.rnn1 = nn.GRU(width, width, batch_first=True)
        self.rnn2 = nn.GRU(width + part, width, batch_first=True)
        self.fc1 = nn.Linear(width + part, sizes.hidden)
        self.fc2 = nn.Linear(sizes.hidden + part, sizes.hidden)
        self.fc3 = nn.Linear(sizes.hidden, self.said.classes)

    def logits(
        self, before: Float[Tensor, "b n"], features: Float[Tensor, "b rows t"]
    ) -> Float[Tensor, "b n c"]:
        return self.told(before, *self.condition(features))

    def told(
        self,
        before: Float[Tensor, "b n"],
        mel: Float[Tensor, "b n rows"],
        frames: Float[Tensor, "b t out"],
    ) -> Float[Tensor, "b n c"]:
        """`logits` of a condition that is made already."""
        hop = self.spec.hop_samples
        a, b, c, d = frames.repeat_interleave(hop, 1).chunk(PARTS, 2)
        x = self.I(torch.cat([before[..., None], mel, a], 2))
        x = x + self.rnn1(x)[0]
        x = x + self.rnn2(torch.cat([x, b], 2))[0]
        x = self.fc1(torch.cat([x, c], 2)).relu()
        return self.fc3(self.fc2(torch.cat([x, d], 2)).relu())

    def pieces(
        self, mel: Tensor, frames: Tensor, clip: Tensor, starts: Tensor, noise: Tensor
    ) -> Float[Tensor, "k length"]:
        width, hidden = self.sizes.width, self.sizes.hidden
        part = frames.shape[2] // PARTS
        enter, rows = self.I.weight, self.spec.rows
        one, two = _gates(self.rnn1, width), _gates(self.rnn2, width)
        # once a frame: what the four layers take from the condition, with their biases
        a, b, c, d = frames.chunk(PARTS, 2)
        parts = [
            F.linear(a, enter[:, 1 + rows :], self.I.bias),
            F.linear(b, two.condition, two.input_bias),
            F.linear(c, self.fc1.weight[:, width:], self.fc1.bias),
            F.linear(d, self.fc2.weight[:, hidden:], self.fc2.bias),
        ]
        assert part == two.condition.shape[1]
        sizes = [one_part.shape[2] for one_part in parts]
        fixed = torch.cat(parts, 2)  # b t sizes
        first, second = self.fc1.weight[:, :width].T, self.fc2.weight[:, :hidden].T
        of_sample, of_mel = enter[:, 0], enter[:, 1 : 1 + rows].T
        hop, (_, frame_count, _), n = self.spec.hop_samples, frames.shape, mel.shape[1]
        x = mel.new_zeros(len(starts))
        h1 = mel.new_zeros(len(starts), width)
        h2, made = h1, []
        for t in range(noise.shape[1]):
            position = (starts + t).clamp(max=n - 1)
            told = fixed[clip, sampling.frames_at(position, hop, frame_count)].split(sizes, 1)
            y = torch.addmm(told[0], mel[clip, position], of_mel) + x[:, None] * of_sample
            h1 = _cell(torch.addmm(one.input_bias, y, one.inner), h1, one)
            y = y + h1
            h2 = _cell(torch.addmm(told[1], y, two.inner), h2, two)
            y = torch.addmm(told[2], y + h2, first).relu()
            y = torch.addmm(told[3], y, second).relu()
            made.append(self.said.draw(self.fc3(y), noise[:, t]))
            x = made[-1].to(mel)
        return torch.stack(made, 1)


def _gates(gru: nn.GRU, width: int) -> Gates:
    own = dict(gru.named_parameters())
    weight = own["weight_ih_l0"]
    return Gates(
        weight[:, :width].T.contiguous(),
        weight[:, width:],
        own["bias_ih_l0"],
        own["weight_hh_l0"].T.contiguous(),
        own["bias_hh_l0"],
    )


def _cell(given: Float[Tensor, "b g"], h: Float[Tensor, "b w"], gates: Gates) -> Tensor:
    """One step of a GRU; `given` is its input, multiplied already."""
    own = torch.addmm(gates.hidden_bias, h, gates.hidden)
    width = h.shape[1]
    both = (given[:, : 2 * width] + own[:, : 2 * width]).sigmoid()
    reset, keep = both[:, :width], both[:, width:]
    new = (given[:, 2 * width :] + reset * own[:, 2 * width :]).tanh()
    return new + keep * (h - new)
