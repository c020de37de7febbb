from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.audio.griffin_lim import GriffinLim, MelResynthesis
from sonograph.audio.stft import Stft
from sonograph.errors import InputError


def chord(samples: int = 8000, rate_hz: int = 8000) -> torch.Tensor:
    at = torch.arange(samples) / rate_hz
    return 0.3 * sum(torch.sin(2 * torch.pi * f * at) for f in (220.0, 554.0, 1319.0))[None]


def wrong(waveform: torch.Tensor, magnitudes: torch.Tensor) -> float:
    """Spectral convergence: how far from the magnitudes, in shares of them."""
    made = Stft(512, 128, 512)(waveform).abs()
    return float((made - magnitudes).norm() / magnitudes.norm())


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_equals_librosa(momentum):
    librosa = pytest.importorskip("librosa")
    noise = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    magnitudes = Stft(512, 128, 512)(noise).abs()
    want = librosa.griffinlim(
        magnitudes[0].double().numpy(), n_iter=5, hop_length=128, momentum=momentum, init=None,
        pad_mode="reflect", length=4000, dtype=np.float64,
    )  # fmt: skip
    got = GriffinLim(512, 128, 5, momentum).double()(magnitudes.double(), 4000)[0]
    assert float((got - torch.from_numpy(want)).abs().max()) < 1e-4 * np.abs(want).max()


def test_more_rounds_come_nearer():
    magnitudes = Stft(512, 128, 512)(chord()).abs()
    errors = [
        wrong(
            GriffinLim(512, 128, rounds)(magnitudes, 8000, torch.Generator().manual_seed(1)),
            magnitudes,
        )
        for rounds in (1, 8, 64)
    ]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
    assert errors[2] < 0.15


def test_the_generator_decides():
    magnitudes = Stft(512, 128, 512)(chord()).abs()
    one, same, other = (
        GriffinLim(512, 128, 4)(magnitudes, 8000, torch.Generator().manual_seed(n))
        for n in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=1e-2)


def test_a_chord_keeps_its_tones_through_mel_and_its_samples_change():
    waveform = chord()
    again = MelResynthesis(8000)(waveform, torch.Generator().manual_seed(0))
    assert again.shape == waveform.shape
    spectrum = torch.fft.rfft(again[0] * torch.hann_window(8000)).abs()
    assert abs(int(spectrum[:400].argmax()) - 220) < 20  # a mel band is about that wide here
    assert float((again - waveform).square().mean()) > 0.1 * float(waveform.square().mean())


def test_energies_are_never_negative_and_have_the_mel_energies_asked_for():
    made = MelResynthesis(16000, updates=200)
    mel = made.bank.values @ torch.rand(1, 513, 6, generator=torch.Generator().manual_seed(0))
    found = made.energies(mel)
    assert float(found.min()) >= 0
    torch.testing.assert_close(made.bank.values @ found, mel, rtol=0.02, atol=1e-4)


def test_bad_input():
    with pytest.raises(InputError, match=r"0 rounds, momentum 0\.99: give at least 1 and 0"):
        GriffinLim(512, 128, rounds=0)
    with pytest.raises(InputError, match="512 samples are too few: give more than 512"):
        MelResynthesis(16000)(torch.zeros(1, 512))
