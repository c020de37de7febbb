"""From waveform to energies in bands: the one engine behind log-mel, Kaldi fbank and MFCC.

Frames are made, transformed and banded in blocks that stay in the processor's cache, so that
neither the unfolded frames nor the spectrum of a long file ever exist as a whole. Without
gradients and with them the arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sonograph.audio.table import Table

Ends = Literal["none", "reflect", "constant"]

BLOCK_FRAMES = 1024  # 1024 frames of 512 samples in float32 are 2 MB


def pad_ends(
    waveform: Float[Tensor, "b n"], lengths: Int64[Tensor, "b"] | None, width: int, ends: Ends
) -> Float[Tensor, "b m"]:
    """Each clip with `width` samples before and after it, mirrored at its own ends or zero; m = n
    + 2 width.

    What lies between the padded end of a clip and m is zero. A clip shorter than the mirror is
    mirrored again and again, as numpy's `reflect` does.
    """
    b, n = waveform.shape
    if ends == "none" or n == 0:
        return waveform
    if lengths is None and (ends == "constant" or n > width):
        if ends == "constant":
            return F.pad(waveform, (width, width))
        return F.pad(waveform[:, None], (width, width), mode="reflect")[:, 0]
    if lengths is None:
        lengths = torch.full((b,), n, device=waveform.device)
    place = torch.arange(-width, n + width, device=waveform.device).expand(b, -1)
    ends_at = lengths[:, None]
    if ends == "constant":
        inside = (place >= 0) & (place < ends_at)
        return torch.where(inside, waveform.gather(1, place.clamp(0, n - 1)), 0)
    period = (2 * (ends_at - 1)).clamp(min=1)
    place = place % period
    place = torch.minimum(place, period - place)
    inside = torch.arange(n + 2 * width, device=waveform.device) < ends_at + 2 * width
    return torch.where(inside & (ends_at > 0), waveform.gather(1, place.clamp(0, n - 1)), 0)


class BandFrames(nn.Module):
    """Energies of short frames in bands: frame mean, pre-emphasis, window, FFT, |X|^power, bank.

    Frame t covers the samples first_sample + t hop ... + w. Its mean m is subtracted where
    `remove_dc` says so, then y[i] = x[i] - c x[i-1] with x[-1] = x[0] (Kaldi), then the window.

    Both steps before the window are linear, so they are taken out of the frame loop:
    y[i] = (x[i] - c x[i-1]) - (1 - c) m, where the bracket is computed once for the whole signal.
    Only the first sample of a frame differs, and that one is 0 under most windows.

    A mel band touches few FFT bins, so the bank is applied in groups of neighbouring bands, each
    to the bins it needs (a fifth of the products at 128 bands).
    """

    def __init__(
        self,
        window: Float[np.ndarray, "w"],
        bank: Float[np.ndarray, "bands bins"],
        *,
        hop_samples: int,
        fft_samples: int,
        first_sample: int = 0,
        power: float = 2.0,
        preemphasis: float = 0.0,
        remove_dc: Literal["none", "frame"] = "none",
    ):
        super().__init__()
        self.window_samples = len(window)
        self.hop_samples = hop_samples
        self.fft_samples = fft_samples
        self.first_sample = first_sample
        self.power = power
        self.preemphasis = preemphasis
        self.remove_dc = remove_dc
        self.own_first = preemphasis != 0 and window[0] != 0
        self.groups = _groups(bank)
        self.window = Table(np.pad(window, (0, fft_samples - len(window))))
        self.bank = Table(bank)
        # |X|^2 is summed by the bank itself, from the squares of real and imaginary parts
        self.pairs = Table(np.repeat(bank, 2, axis=1))

    def forward(
        self, waveform: Float[Tensor, "b n"], frames: int, finish: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "b bands frames"]:
        """The first `frames` frames; `finish` is applied while a block is still in the cache."""
        b = waveform.shape[0]
        if frames <= 0:
            return waveform.new_zeros(b, len(self.bank.exact), 0)
        last = self.first_sample + (frames - 1) * self.hop_samples + self.fft_samples
        waveform = F.pad(waveform, (0, max(0, last - waveform.shape[1])))
        signal = waveform
        if self.preemphasis:
            steps = torch.add(waveform[:, 1:], waveform[:, :-1], alpha=-self.preemphasis)
            signal = torch.cat(((1 - self.preemphasis) * waveform[:, :1], steps), dim=1)

        def block(rows: slice, begin: int, end: int) -> Tensor:
            start = self.first_sample + begin * self.hop_samples
            here = slice(start, start + (end - begin - 1) * self.hop_samples + self.fft_samples)
            return finish(self._block(signal[rows, here], waveform[rows, here]))

        if b * frames <= BLOCK_FRAMES or torch.compiler.is_compiling():
            return block(slice(None), 0, frames)
        clips, step = max(1, BLOCK_FRAMES // frames), min(frames, BLOCK_FRAMES)
        done = []
        for row in range(0, b, clips):
            rows = slice(row, row + clips)
            times = [block(rows, t, min(t + step, frames)) for t in range(0, frames, step)]
            done.append(times[0] if len(times) == 1 else torch.cat(times, dim=-1))
        return done[0] if len(done) == 1 else torch.cat(done)

    def _block(self, signal: Tensor, waveform: Tensor) -> Float[Tensor, "b bands t"]:
        framed = signal.unfold(1, self.fft_samples, self.hop_samples)
        if self.own_first:
            first = waveform.unfold(1, self.fft_samples, self.hop_samples)[..., :1]
            framed = torch.cat(((1 - self.preemphasis) * first, framed[..., 1:]), dim=-1)
        if self.remove_dc == "frame":
            own = waveform.unfold(1, self.fft_samples, self.hop_samples)
            mean = own[..., : self.window_samples].mean(-1, keepdim=True)
            framed = framed - (1 - self.preemphasis) * mean
        spectrum = torch.fft.rfft(framed * self.window.values)
        squares = torch.view_as_real(spectrum).square()
        if self.power == 2:
            bank, energies = self.pairs.values, squares.flatten(-2)
        else:
            tiny = torch.finfo(squares.dtype).tiny  # the root of 0 has no gradient
            bank, energies = self.bank.values, squares.sum(-1).clamp(min=tiny) ** (self.power / 2)
        each = energies.shape[-1] // (self.fft_samples // 2 + 1)
        parts = [
            bank[rows, each * low : each * high] @ energies[..., each * low : each * high].mT
            for rows, low, high in self.groups
        ]
        return torch.cat(parts, dim=-2)


def _groups(bank: Float[np.ndarray, "bands bins"], size: int = 16) -> list[tuple[slice, int, int]]:
    """Rows of neighbouring bands, with the first bin that they touch and the one after the last."""
    groups = []
    for row in range(0, len(bank), size):
        used = np.flatnonzero(bank[row : row + size].any(axis=0))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        groups.append((slice(row, row + size), low, high))
    return groups
