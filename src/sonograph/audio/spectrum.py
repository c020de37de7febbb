"""From waveform to energies in bands: the one engine behind log-mel, Kaldi fbank and MFCC.

Frames are made, transformed and banded in blocks that stay in the processor's cache, so that
neither the unfolded frames nor the spectrum of a long file ever exist as a whole. Without
gradients and with them the arithmetic is the same.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

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


def band_energies(
    waveform: Float[Tensor, "b n"],
    frames: int,
    window: Float[Tensor, "w"],
    bank: Float[Tensor, "bands bins"],
    *,
    first_sample: int,
    hop_samples: int,
    fft_samples: int,
    power: float,
    preemphasis: float,
    remove_dc: Literal["none", "frame"],
) -> Float[Tensor, "b bands frames"]:
    """Energies of `frames` frames in the bands of `bank` (its columns are the first FFT bins).

    Frame t covers the samples first_sample + t hop ... + w. Its mean m is subtracted where
    `remove_dc` says so, then y[i] = x[i] - c x[i-1] with x[-1] = x[0] (Kaldi), then the window,
    the FFT, and |X|^power.

    Both steps before the window are linear, so they are taken out of the frame loop:
    y[i] = (x[i] - c x[i-1]) - (1 - c) m, where the bracket is computed once for the whole signal.
    Only the first sample of a frame differs, and that one is 0 under most windows.
    """
    b = waveform.shape[0]
    width = window.shape[0]
    signal = waveform
    if preemphasis:
        signal = torch.cat(
            (
                (1 - preemphasis) * waveform[:, :1],
                torch.add(waveform[:, 1:], waveform[:, :-1], alpha=-preemphasis),
            ),
            dim=1,
        )
    if frames <= 0:
        return waveform.new_zeros(b, bank.shape[0], 0)
    own_first = preemphasis != 0 and bool(window[0] != 0)

    def block(rows: slice, begin: int, end: int) -> Float[Tensor, "rows bands t"]:
        here = slice(
            first_sample + begin * hop_samples, first_sample + (end - 1) * hop_samples + width
        )
        framed = signal[rows, here].unfold(1, width, hop_samples)
        raw = waveform[rows, here].unfold(1, width, hop_samples)
        if own_first:
            first = (1 - preemphasis) * raw[..., :1]
            framed = torch.cat((first, framed[..., 1:]), dim=-1)
        if remove_dc == "frame":
            framed = framed - (1 - preemphasis) * raw.mean(-1, keepdim=True)
        spectrum = torch.fft.rfft(framed * window, fft_samples)
        parts = torch.view_as_real(spectrum[..., : bank.shape[1]])
        energy = parts.square().sum(-1)
        if power == 1:
            energy = energy.clamp(min=torch.finfo(energy.dtype).tiny).sqrt()
        elif power != 2:
            energy = energy.clamp(min=torch.finfo(energy.dtype).tiny) ** (power / 2)
        return bank @ energy.mT

    if b * frames <= BLOCK_FRAMES or torch.compiler.is_compiling():
        return block(slice(None), 0, frames)
    rows = max(1, BLOCK_FRAMES // frames)
    step = min(frames, BLOCK_FRAMES)
    done = [
        torch.cat(
            [block(slice(r, r + rows), t, min(t + step, frames)) for t in range(0, frames, step)],
            dim=-1,
        )
        for r in range(0, b, rows)
    ]
    return torch.cat(done)
