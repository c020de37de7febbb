"""Bands of a spectrum, each with weights of its own: layouts, the band split, the mask head.

A separator that works on bands turns each band of a complex spectrum into one token a frame, and
tokens back into a complex mask. Bands may overlap: Mel-RoFormer's are the supports of mel
triangles, BS-RoFormer's lie side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.mel import mel_bank
from sonograph.audio.table import Table
from sonograph.errors import InputError
from sonograph.nn.roformer import unit

Bands = tuple[tuple[int, int], ...]  # of each band: its first bin, and the one after its last

# BS-RoFormer's hand-made widths in bins of 44.1 kHz and 2048 points: 62 bands, 1025 bins
HAND_MADE = (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129)
HAND_MADE_BIN_HZ = 44_100 / 2048


def mel_bands(count: int, fft_samples: int, rate_hz: int) -> Bands:
    """Overlapping bands: where the triangles of a Slaney mel bank are above zero.

    The first band also gets bin 0 and the last the Nyquist bin. A bin lies in one or two bands.
    Wang, Lu and Won 2023 (arXiv 2310.01809), section 2. Raises InputError where bands are so
    narrow that one holds no bin.

    >>> bands = mel_bands(60, 2048, 44_100)
    >>> bands[0], bands[-1], sum(end - start for start, end in bands)
    ((0, 7), (895, 1025), 1979)
    """
    bank = mel_bank(count, fft_samples, rate_hz, 0.0, rate_hz / 2, "slaney")
    # a bin on an edge is at height 0, which rounding may lift
    inside = bank > 1e-9
    inside[0, 0] = inside[-1, -1] = True
    empty = [k for k in range(count) if not inside[k].any()]
    lonely = np.flatnonzero(~inside.any(axis=0))
    if empty or len(lonely):
        what = f"band {empty[0]} holds no bin" if empty else f"bin {lonely[0]} lies in no band"
        raise InputError(
            f"{count} mel bands over {fft_samples // 2 + 1} bins of {rate_hz} Hz: {what}; take "
            "fewer bands or a longer FFT"
        )
    return tuple((int(row.argmax()), len(row) - int(row[::-1].argmax())) for row in inside)


def hand_made_bands(count: int, fft_samples: int, rate_hz: int) -> Bands:
    """Bands side by side, spaced as BS-RoFormer's: exactly its own for 62, 2048 and 44.1 kHz.

    Elsewhere its edges, as a curve in hertz up to half the rate, are read at `count` equal steps
    and rounded to bins; no band is empty. Lu et al. 2023 (arXiv 2309.02612), section 4.1.

    >>> [end - start for start, end in hand_made_bands(62, 2048, 44_100)] == list(HAND_MADE)
    True
    >>> hand_made_bands(4, 16, 16_000)
    ((0, 1), (1, 2), (2, 3), (3, 9))
    """
    bins = fft_samples // 2 + 1
    if count > bins:
        raise InputError(f"{count} bands over {bins} bins: take fewer bands or a longer FFT")
    edges = np.concatenate(([0], np.cumsum(HAND_MADE)))
    edges[-1] -= 1  # as a frequency: the last band also holds the Nyquist bin
    # above 22.05 kHz the curve is stretched to the new end
    scale = max(1.0, rate_hz / 44_100)
    top = (rate_hz / 2) / (HAND_MADE_BIN_HZ * scale)
    last = float(np.interp(top, edges, np.arange(len(edges))))
    at = np.interp(np.linspace(0, last, count + 1), np.arange(len(edges)), edges)
    found = np.rint(at * HAND_MADE_BIN_HZ * scale * fft_samples / rate_hz).astype(int)
    found[-1] = bins
    for k in range(1, count):  # at least one bin each, from below and from above
        found[k] = max(found[k], found[k - 1] + 1)
    for k in range(count - 1, 0, -1):
        found[k] = min(found[k], found[k + 1] - 1)
    return tuple((int(a), int(b)) for a, b in pairwise(found))


def side_by_side(widths: Sequence[int]) -> Bands:
    """Bands of these widths in bins, one after the other.

    >>> side_by_side((2, 3))
    ((0, 2), (2, 5))
    """
    ends = np.cumsum(widths)
    return tuple((int(end) - width, int(end)) for width, end in zip(widths, ends))


# --- weights of its own for each band ------------------------------------------------------------


class BandLinear(nn.Module):
    """A linear map of its own for each band.

    Neighbouring bands of equal size share one batched product: `runs` are their (first, end),
    the longest there are unless given. weights[r]: (bands, size in, size out) of a run; biases[r]:
    (bands, size out).
    """

    def __init__(
        self,
        sizes_in: Sequence[int],
        sizes_out: Sequence[int],
        runs: Sequence[tuple[int, int]] | None = None,
    ):
        super().__init__()
        self.runs = list(runs or _runs(list(zip(sizes_in, sizes_out))))
        shapes = [(b - a, sizes_in[a], sizes_out[a]) for a, b in self.runs]
        self.weights = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.empty(n, made) for n, _, made in shapes)
        for weight, bias in zip(self.weights, self.biases):  # as nn.Linear starts
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    def run(
        self, r: int, x: Float[Tensor, "bands n i"], gains: Float[Tensor, "bands i"] | None = None
    ) -> Float[Tensor, "bands n o"]:
        """The maps of run r, of inputs times gains."""
        weights = self.weights[r] if gains is None else self.weights[r] * gains[..., None]
        return torch.baddbmm(self.biases[r][:, None], x, weights)


def _runs(sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(first, end) of neighbours of equal size."""
    for _, group in groupby(range(len(sizes)), key=lambda k: sizes[k]):
        places = list(group)
        yield places[0], places[-1] + 1


class BandSplit(nn.Module):
    """One token a band and frame: L2-normalised, scaled, and projected, band by band.

    spectrum (..., bins, c): real and imaginary parts of all channels of a bin are its c numbers
    -> (..., bands, width).
    """

    def __init__(self, bands: Bands, numbers: int, width: int):
        super().__init__()
        self.bands, self.width = bands, width
        sizes = [numbers * (end - start) for start, end in bands]
        self.project = BandLinear(sizes, [width] * len(bands))
        self.gains = nn.ParameterList(torch.ones(w.shape[:2]) for w in self.project.weights)

    def forward(self, spectrum: Float[Tensor, "*frames bins c"]) -> Float[Tensor, "*frames f d"]:
        x = spectrum.flatten(0, -3)
        tokens = []
        for r, (a, b) in enumerate(self.project.runs):
            parts = torch.stack([x[:, i:j].flatten(1) for i, j in self.bands[a:b]])
            tokens.append(self.project.run(r, unit(parts), self.gains[r]))
        made = torch.cat(tokens).transpose(0, 1).contiguous()
        return made.reshape(*spectrum.shape[:-2], len(self.bands), self.width)


class BandMasks(nn.Module):
    """Tokens to one complex mask: an MLP with tanh and a gate a band, averaged where bands overlap.

    tokens (..., bands, width) -> (..., bins, c), to be read as complex numbers. `layers` hidden
    layers of `hidden` units.
    """

    def __init__(self, bands: Bands, numbers: int, width: int, hidden: int, layers: int):
        super().__init__()
        self.bands, self.numbers = bands, numbers
        sizes = [width] + [hidden] * layers
        count = len(bands)
        made = [2 * numbers * (end - start) for start, end in bands]
        self.out = BandLinear([sizes[-1]] * count, made)
        # in the same runs, so that a few bands at a time go through all layers: they stay in a
        # processor's cache
        self.hidden = nn.ModuleList(
            BandLinear([i] * count, [o] * count, self.out.runs) for i, o in pairwise(sizes)
        )
        self.layers = _layers(bands)
        bins = max(end for _, end in bands)
        cover = np.zeros(bins)
        for start, end in bands:
            cover[start:end] += 1
        self.share = Table(1 / cover[:, None])

    def forward(self, tokens: Float[Tensor, "*frames f d"]) -> Float[Tensor, "*frames bins c"]:
        counts = [b - a for a, b in self.out.runs]
        parts = tokens.flatten(0, -3).transpose(0, 1).split(counts)  # (bands, frames, width)
        made: list[Tensor] = []
        for r, x in enumerate(parts):
            for layer in self.hidden:
                x = torch.tanh(cast(BandLinear, layer).run(r, x))
            made += F.glu(self.out.run(r, x)).unflatten(-1, (-1, self.numbers)).unbind()
        bins = self.share.values.shape[0]
        total = None
        for layer_of in self.layers:  # bands of one layer do not overlap
            pieces, at = [], 0
            for k in layer_of:
                start, end = self.bands[k]
                if start > at:
                    pieces.append(made[k].new_zeros(len(made[k]), start - at, self.numbers))
                pieces.append(made[k])
                at = end
            if at < bins:
                pieces.append(made[0].new_zeros(len(made[0]), bins - at, self.numbers))
            whole = torch.cat(pieces, dim=1)
            total = whole if total is None else total + whole
        assert total is not None
        if len(self.layers) > 1:
            total = total * self.share.values
        return total.reshape(*tokens.shape[:-2], bins, self.numbers)


def _layers(bands: Bands) -> list[list[int]]:
    """Bands dealt out so that those of one list do not overlap: two lists for mel bands."""
    layers: list[list[int]] = []
    ends: list[int] = []
    for k, (start, end) in enumerate(bands):
        for n, reached in enumerate(ends):
            if start >= reached:
                layers[n].append(k)
                ends[n] = end
                break
        else:
            layers.append([k])
            ends.append(end)
    return layers
