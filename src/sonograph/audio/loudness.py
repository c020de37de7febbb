"""Integrated loudness in LUFS, by ITU-R BS.1770-4.

K-weighting (a high shelf for the head, a high-pass), mean square in 400 ms blocks every 100 ms, two
gates: -70 LUFS, then 10 LU below the mean of what passed. The standard tabulates its filters for
48 kHz only; at other rates they follow from the same analogue prototypes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.errors import InputError

BLOCK_S, STEP_S = 0.4, 0.1
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
CHANNEL_WEIGHTS = (1.0, 1.0, 1.0, 1.41, 1.41)  # left, right, centre, left and right surround


def loudness(waveform: Float[Tensor, "b channels n"], rate_hz: int) -> Float[Tensor, "b"]:
    """Integrated loudness of each clip in LUFS; -inf for silence. Differentiable where it is
    finite.

    Raises InputError for clips under 0.4 s, more than five channels, and rates under 4 kHz.
    """
    _, channels, n = waveform.shape
    block, step = round(BLOCK_S * rate_hz), round(STEP_S * rate_hz)
    if n < block:
        raise InputError(f"loudness needs 0.4 s of sound, not {n / rate_hz:.3g} s")
    if channels > len(CHANNEL_WEIGHTS):
        raise InputError(f"loudness is defined for up to five channels, not {channels}")
    if rate_hz < 4000:
        raise InputError(f"loudness needs a rate of 4000 Hz or more, not {rate_hz}")
    squares = k_weight(waveform, rate_hz).square()
    each = squares.unfold(-1, block, step).mean(-1)  # b channels blocks
    power = torch.einsum("bct,c->bt", each, each.new_tensor(CHANNEL_WEIGHTS[:channels]))
    with torch.no_grad():
        heard = _lufs(power) > ABSOLUTE_GATE
        threshold = _lufs(_mean_of(power, heard)) + RELATIVE_GATE
        heard &= _lufs(power) > threshold[:, None]
    return _lufs(_mean_of(power, heard))


def k_weight(waveform: Float[Tensor, "*b n"], rate_hz: int) -> Float[Tensor, "*b n"]:
    """The waveform through both filters of the standard.

    They are applied as their frequency response over a zero-padded signal: the padding outlasts
    the slower filter (38 Hz), so nothing comes round.
    """
    n = waveform.shape[-1]
    size = 1 << (n + rate_hz - 1).bit_length()
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(size // 2 + 1, complex)
    for ahead, behind in (_shelf(rate_hz), _high_pass(rate_hz)):
        response *= np.polyval(ahead[::-1], turn) / np.polyval(behind[::-1], turn)
    kind = torch.complex128 if waveform.dtype == torch.float64 else torch.complex64
    spectrum = torch.fft.rfft(waveform, size)
    weights = torch.as_tensor(response, dtype=kind, device=waveform.device)
    return torch.fft.irfft(spectrum * weights, size)[..., :n]


def _shelf(rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """The first filter, +4 dB above 1.7 kHz; at 48 kHz it equals the standard's table 1."""
    k = math.tan(math.pi * 1681.974450955533 / rate_hz)
    q = 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    scale = 1 + k / q + k * k
    ahead = np.array([high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k])
    return ahead / scale, np.array([scale, 2 * (k * k - 1), 1 - k / q + k * k]) / scale


def _high_pass(rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """The second filter, from 38 Hz; at 48 kHz it equals the standard's table 2."""
    k = math.tan(math.pi * 38.13547087602444 / rate_hz)
    q = 0.5003270373238773
    scale = 1 + k / q + k * k
    behind = np.array([scale, 2 * (k * k - 1), 1 - k / q + k * k]) / scale
    return np.array([1.0, -2.0, 1.0]), behind


def _lufs(power: Tensor) -> Tensor:
    return -0.691 + 10 * torch.log10(power)


def _mean_of(power: Float[Tensor, "b blocks"], chosen: Tensor) -> Float[Tensor, "b"]:
    return torch.where(chosen, power, 0).sum(1) / chosen.sum(1).clamp(min=1)
