"""Change the sample rate: soxr for files and streams, a windowed sinc in torch where gradients
must pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32

from sonograph.errors import InputError

if TYPE_CHECKING:  # files are read without torch
    from torch import Tensor


def resample(
    samples: Float32[np.ndarray, "channels n"], from_hz: int, to_hz: int
) -> Float32[np.ndarray, "channels m"]:
    """The samples at another rate, by soxr's high quality; m = round(n * to / from), at least 1."""
    _check_rates(from_hz, to_hz)
    if from_hz == to_hz or samples.shape[1] == 0:
        return samples
    import soxr

    out = soxr.resample(np.ascontiguousarray(samples.T), from_hz, to_hz, quality="HQ")
    return _exactly(out.T, resampled_length(samples.shape[1], from_hz, to_hz))


def resample_stream(
    blocks: Iterable[Float32[np.ndarray, "channels n"]], from_hz: int, to_hz: int
) -> Iterator[Float32[np.ndarray, "channels m"]]:
    """`resample` block by block; the blocks joined equal the one-shot answer."""
    _check_rates(from_hz, to_hz)
    if from_hz == to_hz:
        yield from blocks
        return
    import soxr

    stream, taken, given = None, 0, 0
    for block in blocks:
        channels = block.shape[0]
        if stream is None:
            stream = soxr.ResampleStream(from_hz, to_hz, channels, "float32", "HQ")
        taken += block.shape[1]
        out = stream.resample_chunk(np.ascontiguousarray(block.T)).T
        given += out.shape[1]
        if out.shape[1]:
            yield out
    if stream is not None:
        rest = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T
        rest = _exactly(rest, resampled_length(taken, from_hz, to_hz) - given)
        if rest.shape[1]:
            yield rest


def resample_tensor(
    waveform: Float[Tensor, "b n"], from_hz: int, to_hz: int, zeros: int = 64
) -> Float[Tensor, "b m"]:
    """The waveforms at another rate where gradients must pass, or on the GPU; m as in `resample`.

    A sinc that reaches over `zeros` of its zeros to each side, under a Kaiser window, one filter
    for each of the `to` phases (J. O. Smith, "Digital audio resampling", 2002). The pass band ends
    at 0.945 of the lower Nyquist rate.
    """
    _check_rates(from_hz, to_hz)
    if from_hz == to_hz or waveform.shape[1] == 0:
        return waveform
    import torch
    import torch.nn.functional as F

    common = math.gcd(from_hz, to_hz)
    old, new = from_hz // common, to_hz // common
    cutoff = 0.945 * min(1.0, new / old)
    width = math.ceil(zeros / cutoff)
    place = np.arange(-width, width + old) - np.arange(new)[:, None] * old / new  # in old samples
    taper = np.i0(14.77 * np.sqrt(np.maximum(0, 1 - (place * cutoff / zeros) ** 2))) / np.i0(14.77)
    taper[np.abs(place * cutoff) > zeros] = 0
    kernels = torch.as_tensor(
        cutoff * np.sinc(cutoff * place) * taper, dtype=waveform.dtype, device=waveform.device
    )
    length = resampled_length(waveform.shape[1], from_hz, to_hz)
    steps = -(-length // new)
    right = max(0, (steps - 1) * old + width + old - waveform.shape[1])
    padded = F.pad(waveform[:, None], (width, right))
    phases = F.conv1d(padded, kernels[:, None], stride=old)[..., :steps]
    return phases.mT.flatten(1)[:, :length]


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """How many samples a sound has at the new rate: rounded half up, at least 1 of a non-empty
    one.
    """
    if samples == 0:
        return 0
    return max(1, (2 * samples * to_hz + from_hz) // (2 * from_hz))


def _exactly(samples: np.ndarray, length: int) -> np.ndarray:
    """The first `length` samples, with zeros where soxr gave one or two fewer."""
    missing = max(0, length - samples.shape[1])
    return np.pad(samples, ((0, 0), (0, missing)))[:, : max(0, length)]


def _check_rates(from_hz: int, to_hz: int) -> None:
    for rate in (from_hz, to_hz):
        if int(rate) != rate or rate <= 0:
            raise InputError(f"cannot resample from {from_hz} Hz to {to_hz} Hz")
