"""Operations in plainer words give torch's answers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sonograph.exports.plainly import plainly


def waves() -> torch.Tensor:
    return torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))


WINDOW = torch.hann_window(512)
CASES = {
    "rfft": lambda x: torch.fft.rfft(x[:, :512]),
    "rfft, filled up": lambda x: torch.fft.rfft(x[:, :400], n=512),
    "irfft": lambda x: torch.fft.irfft(torch.complex(x[:, :257], x[:, 300:557]), n=512),
    "stft": lambda x: torch.stft(x, 512, 128, window=WINDOW, return_complex=True),
    "complex pad": lambda x: F.pad(torch.complex(x, x), (1, 2)),
    "pad": lambda x: F.pad(x, (1, 2), value=3.0),
    "searchsorted": lambda x: torch.searchsorted(x.sort()[0], x[:, :50].contiguous(), right=True),
    "searchsorted, one row": lambda x: torch.searchsorted(x[0].sort()[0], x[1, :50].contiguous()),
    "bucketize": lambda x: torch.bucketize(x, torch.linspace(-2, 2, 9)),
    "bucketize, right": lambda x: torch.bucketize(x.round(), torch.arange(-2.0, 3), right=True),
    "cdist": lambda x: torch.cdist(x[:, :800].view(2, 100, 8), x[:, 900:980].view(2, 10, 8)),
    "cdist of absolute values": lambda x: torch.cdist(x[:, :80].view(2, 10, 8), x[None, 0, :8], 1),
    "repeat_interleave": lambda x: x[:, None, :40].repeat_interleave(3, dim=-1),
    "repeat_interleave, each": lambda x: x[:, :3].repeat_interleave(
        torch.tensor([2, 0, 3]), dim=1, output_size=5
    ),
    "split": lambda x: torch.cat(x.split([1000, 500, 1500], dim=1)[::-1], dim=1),
    "split, equal": lambda x: torch.stack(x.split(1000, dim=1)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_answer(name):
    wanted = CASES[name](waves())
    with plainly():
        found = CASES[name](waves())
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def test_nothing_else_changes():
    with plainly():
        assert torch.equal(waves().abs(), waves().abs())
    assert torch.fft.rfft(torch.ones(4)).is_complex()
