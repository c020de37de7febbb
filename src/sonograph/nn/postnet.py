"""Post-nets: what a second look at a whole spectrogram adds to it.

Both take and answer (b, t, rows); the answer is to be added. Where a mask (b, t) is given, nothing
depends on what lies outside it, but for the statistics of batch norms in training.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import rnn


class Postnet(nn.Module):
    """Tacotron 2's: five convolutions with batch norm, tanh after all but the last.

    Shen et al. 2018, section 2.2; dropout of 0.5 after each.

    >>> Postnet(80)(torch.zeros(1, 7, 80)).shape
    torch.Size([1, 7, 80])
    """

    def __init__(
        self, rows: int, width: int = 512, kernel: int = 5, layers: int = 5, dropout: float = 0.5
    ):
        super().__init__()
        sizes = [rows] + [width] * (layers - 1) + [rows]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(a, b, kernel, padding=kernel // 2) for a, b in itertools.pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:])
        self.dropout = nn.Dropout(dropout)
        for layer in self.convolutions:
            assert isinstance(layer, nn.Conv1d)
            last = layer is self.convolutions[-1]
            gain = nn.init.calculate_gain("linear" if last else "tanh")
            nn.init.xavier_uniform_(layer.weight, gain)

    def forward(
        self, mel: Float[Tensor, "b t rows"], mask: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t rows"]:
        x = mel.transpose(1, 2)
        for place, (convolve, norm) in enumerate(zip(self.convolutions, self.norms)):
            x = norm(convolve(_shown(x, mask)))
            x = self.dropout(x.tanh() if place < len(self.norms) - 1 else x)
        return x.transpose(1, 2)


class CBHG(nn.Module):
    """Tacotron 1's post-net: convolutions of all sizes up to `bank`, pooled; highways; a GRU.

    Wang et al. 2017, section 3.1 and table 1, as xcmyz/FastSpeech has it, whose unused projection
    before the highways is left out.
    """

    def __init__(self, rows: int, bank: int = 8, width: int = 256, highways: int = 4):
        super().__init__()
        self.bank = nn.ModuleList(
            nn.Conv1d(rows, rows, size, padding=size // 2, bias=False)
            for size in range(1, bank + 1)
        )
        self.bank_norms = nn.ModuleList(nn.BatchNorm1d(rows) for _ in self.bank)
        self.narrow = nn.Conv1d(bank * rows, width, 3, padding=1, bias=False)
        self.narrow_norm = nn.BatchNorm1d(width)
        self.back = nn.Conv1d(width, rows, 3, padding=1, bias=False)
        self.back_norm = nn.BatchNorm1d(rows)
        self.new = nn.ModuleList(nn.Linear(rows, rows) for _ in range(highways))
        self.share = nn.ModuleList(nn.Linear(rows, rows) for _ in range(highways))
        self.gru = nn.GRU(rows, rows, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * rows, rows)
        for layer in self.share:
            assert isinstance(layer, nn.Linear)
            nn.init.constant_(layer.bias, -1.0)  # highways begin by letting through

    def forward(
        self, mel: Float[Tensor, "b t rows"], mask: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t rows"]:
        count, x = mel.shape[1], _shown(mel.transpose(1, 2), mask)
        found = [
            norm(layer(x)[:, :, :count].relu()) for layer, norm in zip(self.bank, self.bank_norms)
        ]
        x = nn.functional.max_pool1d(torch.cat(found, dim=1), 2, 1, padding=1)[:, :, :count]
        x = self.narrow_norm(self.narrow(_shown(x, mask)).relu())
        x = self.back_norm(self.back(_shown(x, mask))).transpose(1, 2) + mel
        for new, share in zip(self.new, self.share):
            through = share(x).sigmoid()
            x = new(x).relu() * through + x * (1 - through)
        if mask is None:
            return self.project(self.gru(x)[0])
        packed = rnn.pack_padded_sequence(x, mask.sum(1).cpu(), True, enforce_sorted=False)
        return self.project(rnn.pad_packed_sequence(self.gru(packed)[0], True, 0.0, count)[0])


def _shown(x: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"] | None) -> Tensor:
    return x if mask is None else x.masked_fill(~mask[:, None], 0.0)
