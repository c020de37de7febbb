"""Parts of the Tacotrons: the pre-net that never stops dropping, the CBHG, the zoneout.

Wang et al. 2017 (Tacotron, section 3.1), Shen et al. 2018 (Tacotron 2, section 2.2), Krueger et al.
2017 (zoneout). Shapes: b texts, n tokens or frames, d numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import max_pool1d
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

AHEAD = 64  # steps whose random numbers are drawn at once


class Prenet(nn.Module):
    """Linear layers with ReLU and a dropout that stays on when it speaks.

    What is dropped is given with the input, so that it can be repeated; see `Drops`.
    """

    def __init__(self, size: int, width: int, layers: int = 2, bias: bool = False):
        super().__init__()
        sizes = [size] + [width] * layers
        self.width = width
        self.layers = nn.ModuleList(
            nn.Linear(a, b, bias=bias) for a, b in itertools.pairwise(sizes)
        )

    def forward(
        self, x: Float[Tensor, "*b d"], kept: Float[Tensor, "*b layers width"] | None
    ) -> Float[Tensor, "*b width"]:
        """kept: factor of each value of each layer, 0 or 1 / (1 - rate); None keeps all."""
        for place, layer in enumerate(self.layers):
            x = layer(x).relu()
            if kept is not None:
                x = x * kept[..., place, :]
        return x


class Drops:
    """What a pre-net keeps, step by step, drawn for each text from a stream of its own.

    So a text that is spoken alone and in a batch is spoken alike. Iterates over (b, layers, width),
    or None where nothing is dropped. seeds: of each text, see `seeds_of`.
    """

    def __init__(self, net: Prenet, rate: float, seeds: Int64[Tensor, "b"]):
        self.shape, self.rate = (len(net.layers), net.width), rate
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]

    def __iter__(self) -> Iterator[Tensor | None]:
        while True:
            if self.rate == 0:
                yield None
                continue
            drawn = [torch.rand((AHEAD, *self.shape), generator=one) for one in self.streams]
            yield from ((torch.stack(drawn, 1) >= self.rate).float() / (1 - self.rate)).unbind(0)

    def take(self, steps: int) -> Tensor | None:
        """(b, steps, layers, width) of the first steps; None where nothing is dropped."""
        if self.rate == 0:
            return None
        found = [kept for kept, _ in zip(self, range(steps))]
        return torch.stack([kept for kept in found if kept is not None], 1)


def seeds_of(
    batch: int, streams: int, generator: torch.Generator | None
) -> Int64[Tensor, "streams b"]:
    """Seeds of so many streams for each text; those of the first do not depend on the others."""
    return torch.randint(2**62, (batch, streams), generator=generator).T


class CBHG(nn.Module):
    """Convolutions of all sizes up to `bank`, pooled; two projections; highways; a GRU both ways.

    As Real-Time-Voice-Cloning has it: norms after the ReLU, sizes free (that of `nn/postnet.py` is
    the narrower form of xcmyz/FastSpeech). mask: where there is something; without one the
    convolutions and the GRU see what lies beyond a text, as the published build does.
    """

    def __init__(
        self, rows: int, width: int, bank: int, projections: tuple[int, int], highways: int = 4
    ):
        super().__init__()
        first, second = projections
        self.bank = nn.ModuleList(
            nn.Conv1d(rows, width, size, padding=size // 2, bias=False)
            for size in range(1, bank + 1)
        )
        self.bank_norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in self.bank)
        self.narrow = nn.Conv1d(bank * width, first, 3, padding=1, bias=False)
        self.narrow_norm = nn.BatchNorm1d(first)
        self.back = nn.Conv1d(first, second, 3, padding=1, bias=False)
        self.back_norm = nn.BatchNorm1d(second)
        self.widen = nn.Linear(second, width, bias=False) if second != width else None
        self.new = nn.ModuleList(nn.Linear(width, width) for _ in range(highways))
        self.share = nn.ModuleList(nn.Linear(width, width) for _ in range(highways))
        for layer in self.new:
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.bias)
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(
        self, x: Float[Tensor, "b n rows"], mask: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b n width"]:
        count, given = x.shape[1], _inside(x, mask)
        y = given.transpose(1, 2)
        found = [
            norm(layer(y)[:, :, :count].relu()) for layer, norm in zip(self.bank, self.bank_norms)
        ]
        y = max_pool1d(torch.cat(found, dim=1), 2, 1, padding=1)[:, :, :count]
        y = self.narrow_norm(self.narrow(_along(y, mask)).relu())
        y = self.back_norm(self.back(_along(y, mask))).transpose(1, 2) + given
        if self.widen is not None:
            y = self.widen(y)
        for new, share in zip(self.new, self.share):
            through = share(y).sigmoid()
            y = new(y).relu() * through + y * (1 - through)
        return both_ways(self.gru, y, mask)


def both_ways(
    network: nn.GRU | nn.LSTM, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None
) -> Float[Tensor, "b n e"]:
    """A recurrent network over texts of their own lengths; zeros beyond them."""
    if mask is None:
        return network(x)[0]
    packed = pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(network(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def zoneout(before: Tensor, after: Tensor, rate: float, training: bool) -> Tensor:
    """Each value stays what it was before with this probability; only in training."""
    if not training or rate == 0:
        return after
    return torch.where(torch.rand_like(after) < rate, before, after)


def _inside(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask[..., None]


def _along(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask[:, None]
