"""Operations that exporters do not know, said in those they do, without a change to any model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sonograph.audio import fourier

LONGEST = 8192  # samples of a frame; longer transforms are left to torch


class plainly(TorchFunctionMode):
    """Inside of it torch's transforms of frames are products, searches are comparisons, and
    complex numbers are padded by their parts. The same answers, to rounding.

    >>> with plainly():
    ...     torch.searchsorted(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 5.0]))
    tensor([1, 2])
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return OWN.get(function, function)(*args, **(kwargs or {}))


def _rfft(input: Tensor, n: int | None = None, dim: int = -1) -> Tensor:
    size = input.shape[-1] if n is None else n
    if not isinstance(size, int) or size > LONGEST or dim not in (-1, input.ndim - 1):
        return torch.fft.rfft(input, n, dim)
    more = size - input.shape[-1]
    return fourier.rfft(F.pad(input, (0, more)) if more else input)


def _irfft(input: Tensor, n: int, dim: int = -1) -> Tensor:
    if not isinstance(n, int) or n > LONGEST or dim not in (-1, input.ndim - 1):
        return torch.fft.irfft(input, n, dim)
    return fourier.irfft(input, n)


def _stft(
    input: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool = True,
    align_to_window: bool | None = None,
) -> Tensor:
    assert window is not None
    assert (center, pad_mode, normalized) == (True, "reflect", False)
    return fourier.stft(input, n_fft, hop_length, window)


def _istft(
    input: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    assert window is not None
    assert (center, normalized) == (True, False)
    return fourier.istft(input, n_fft, hop_length, window, length)


def _pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    if not input.is_complex():
        return F.pad(input, pad, mode, value)
    return torch.complex(F.pad(input.real, pad, mode, value), F.pad(input.imag, pad, mode, value))


def _searchsorted(sorted_sequence: Tensor, input: Tensor, right: bool = False) -> Tensor:
    """How many of each row come before a value; one row of them may be for all values."""
    if sorted_sequence.ndim == 1:
        return _bucketize(input, sorted_sequence, right)
    edges, values = sorted_sequence[..., None, :], input[..., None]
    return (edges <= values if right else edges < values).sum(-1)


def _bucketize(input: Tensor, boundaries: Tensor, right: bool = False) -> Tensor:
    values = input[..., None]
    return (boundaries <= values if right else boundaries < values).sum(-1)


def _split(tensor: Tensor, split_size: Any, dim: int = 0) -> Any:
    """By slices: the exporter's own pass trips over lists of sizes."""
    if not isinstance(split_size, list | tuple):
        return tensor.split(split_size, dim)
    ends = list(itertools.accumulate(split_size))
    pairs = zip([0, *ends], split_size)
    return tuple(tensor.narrow(dim, begin, size) for begin, size in pairs)


def _repeated(input: Tensor, repeats: Any, dim: int | None = None, **more: Any) -> Tensor:
    size = more.get("output_size")
    if isinstance(repeats, Tensor) and dim is not None and size is not None:
        along = torch.arange(size, device=input.device)
        return input.index_select(dim, _bucketize(along, repeats.cumsum(0), right=True))
    if not isinstance(repeats, int) or dim is None or more:
        return torch.repeat_interleave(input, repeats, dim, **more)
    place = dim % input.ndim
    shape = [-1] * (input.ndim + 1)
    shape[place + 1] = repeats
    return input.unsqueeze(place + 1).expand(shape).flatten(place, place + 1)


def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """Distances of rows, as torch's: by products."""
    if p != 2:
        return torch.cdist(x1, x2, p)
    products = x1 @ x2.mT
    squares = x1.square().sum(-1)[..., None] + x2.square().sum(-1)[..., None, :]
    return (squares - 2 * products).clamp(min=0).sqrt()


OWN: Mapping[Callable, Callable] = {
    torch.fft.rfft: _rfft,
    torch.fft.irfft: _irfft,
    torch.stft: _stft,
    torch.istft: _istft,
    F.pad: _pad,
    torch.searchsorted: _searchsorted,
    torch.bucketize: _bucketize,
    torch.cdist: _cdist,
    torch.split: _split,
    Tensor.split: _split,
    torch.repeat_interleave: _repeated,
    Tensor.repeat_interleave: _repeated,
}
