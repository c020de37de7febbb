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

BLOCK_FRAMES = 1024  # 2 MB of frames of 512 samples: what a core keeps at hand


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
    """Energies of short frames in bands: frame mean, pre-emphasis, window, FFT, power, bank.

    The power is (|X|^2 + power_offset)^(power / 2).

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
        power_offset: float = 0.0,
    ):
        super().__init__()
        self.window_samples = len(window)
        self.hop_samples = hop_samples
        self.fft_samples = fft_samples
        self.first_sample = first_sample
        self.power = power
        self.power_offset = power_offset
        self.preemphasis = preemphasis
        self.preemphasis_single = float(np.float32(preemphasis))
        self.remove_dc = remove_dc
        self.own_first = preemphasis != 0 and window[0] != 0
        self.groups = _groups(bank)
        self.window = Table(np.pad(window, (0, fft_samples - len(window))))
        self.bank = Table(bank)
        # |X|^2 is summed by the bank itself, from the squares of real and imaginary parts
        self.pairs = Table(np.repeat(bank, 2, axis=1))

    def forward(
        self,
        waveform: Float[Tensor, "b n"],
        frames: int,
        finish: Callable[[Tensor], Tensor],
        width: int = 0,
        ends: Ends = "none",
    ) -> Float[Tensor, "b bands frames"]:
        """The first `frames` frames; `finish` is applied to energies while they are in the cache.

        `width` samples come before and after the waveform as `ends` says (n > width); they are made
        where they are needed, without a padded copy of the whole. Samples beyond those are zero.
        """
        b = waveform.shape[0]
        if frames <= 0:
            return waveform.new_zeros(b, len(self.bank.exact), 0)
        if torch.compiler.is_compiling():  # no loop and no choice that depends on the length
            waveform = F.pad(pad_ends(waveform, None, width, ends), (0, self.fft_samples))
            return finish(self._block(waveform, 0, "none", 0, frames, None))
        if b * frames <= BLOCK_FRAMES:
            return finish(self._block(waveform, width, ends, 0, frames, None))
        clips, step = max(1, BLOCK_FRAMES // frames), min(frames, BLOCK_FRAMES)
        places = [
            (slice(row, row + clips), begin, min(begin + step, frames))
            for row in range(0, b, clips)
            for begin in range(0, frames, step)
        ]
        if torch.is_grad_enabled() and waveform.requires_grad:
            done = [
                finish(self._block(waveform[rows], width, ends, begin, end, None))
                for rows, begin, end in places
            ]
            each = -(-frames // step)  # blocks of one row of places
            joined = [torch.cat(done[i : i + each], dim=-1) for i in range(0, len(done), each)]
            return torch.cat(joined)
        # without gradients every block reuses the same memory, which stays in the cache
        out = waveform.new_empty(b, len(self.bank.exact), frames)
        work = waveform.new_empty(clips * step, self.fft_samples)
        with torch.no_grad():
            for rows, begin, end in places:
                part = self._block(waveform[rows], width, ends, begin, end, work)
                out[rows, :, begin:end] = finish(part)
        return out

    def _block(
        self,
        waveform: Float[Tensor, "b n"],
        width: int,
        ends: Ends,
        begin: int,
        end: int,
        work: Tensor | None,
    ) -> Float[Tensor, "b bands t"]:
        """Energies of the frames from `begin` to `end`; `work` holds them on the way if given."""
        clips, count, size = len(waveform), end - begin, self.fft_samples
        start = self.first_sample - width + begin * self.hop_samples
        length = (count - 1) * self.hop_samples + size
        if torch.compiler.is_compiling():
            around, place = waveform, start
        else:
            around, place = _excerpt(waveform, start, start + length, size, ends)
        own = around[:, place : place + length]
        signal = own
        if self.preemphasis:
            before = around[:, place - 1 : place] if place else around[:, :1]
            earlier = torch.cat((before, own[:, :-1]), dim=1)
            signal = torch.add(own, earlier, alpha=-self.preemphasis)
        framed = signal.unfold(1, size, self.hop_samples)
        # by the coefficient as it was rounded above: a constant then leaves nothing behind
        kept = 1 - (self.preemphasis if own.dtype == torch.float64 else self.preemphasis_single)
        if self.own_first:
            first = own.unfold(1, size, self.hop_samples)[..., :1]
            framed = torch.cat((kept * first, framed[..., 1:]), dim=-1)
        held = None if work is None else work[: clips * count].view(clips, count, size)
        if self.remove_dc == "frame":
            mean = own.unfold(1, size, self.hop_samples)[..., : self.window_samples].mean(-1)
            framed = torch.sub(framed, kept * mean[..., None], out=held)
        framed = torch.mul(framed, self.window.values, out=held)
        parts = torch.view_as_real(torch.fft.rfft(framed.flatten(0, 1)))
        squares = torch.square(parts, out=None if work is None else parts)
        if self.power == 2 and not self.power_offset:
            bank, energies = self.pairs.values, squares.flatten(-2)
        else:
            tiny = torch.finfo(squares.dtype).tiny  # the root of 0 has no gradient
            bank, energies = self.bank.values, squares.sum(-1) + self.power_offset
            energies = energies.clamp(min=tiny) ** (self.power / 2)
        each = energies.shape[-1] // (size // 2 + 1)
        products = [
            (bank[rows, each * low : each * high], energies[:, each * low : each * high].T)
            for rows, low, high in self.groups
        ]
        if work is None:
            bands = torch.cat([part @ energy for part, energy in products])
        else:
            bands = energies.new_empty(len(bank), len(energies))
            for (rows, _, _), (part, energy) in zip(self.groups, products):
                torch.mm(part, energy, out=bands[rows])
        return bands.view(len(self.bank.exact), clips, count).transpose(0, 1)


def _excerpt(
    waveform: Float[Tensor, "b n"], start: int, stop: int, spare: int, ends: Ends
) -> tuple[Float[Tensor, "b m"], int]:
    """A part with the samples from `start` to `stop` and where `start` lies in it.

    Either may lie outside the waveform, by less than `spare`; the part reaches that far beyond
    both where it can, so that a mirror always finds what it reflects.
    """
    n = waveform.shape[1]
    low, high = max(0, start - spare), min(n, stop + spare)
    left, right = max(0, -start), max(0, stop - n)
    part = waveform[:, low:high]
    if ends == "reflect" and (left or right):  # F.pad mirrors slowly, clip by clip
        before, last = part[:, 1 : left + 1].flip(1), part.shape[1] - 1
        part = torch.cat((before, part, part[:, last - right : last].flip(1)), dim=1)
    elif left or right:
        part = F.pad(part, (left, right))
    return part, start + left - low


def _groups(bank: Float[np.ndarray, "bands bins"], size: int = 16) -> list[tuple[slice, int, int]]:
    """Rows of neighbouring bands, with the first bin that they touch and the one after the last."""
    groups = []
    for row in range(0, len(bank), size):
        used = np.flatnonzero(bank[row : row + size].any(axis=0))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        groups.append((slice(row, row + size), low, high))
    return groups
