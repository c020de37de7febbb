"""Mel-Band and BS-RoFormer beside the bs-roformer package, on the same weights.

Its newest release has parts that no published file has; they are switched off here, and where no
switch is left (value residuals of BS-RoFormer) taken out.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sonograph.nn.mel_bands import mel_bands
from sonograph.systems.separate import mel_roformer

bs_roformer = pytest.importorskip("bs_roformer")
PLAIN = {
    "time_transformer_depth": 1, "freq_transformer_depth": 1, "attn_dropout": 0.0,
    "ff_dropout": 0.0, "num_residual_streams": 1,
}  # fmt: skip
SMALL = {"dim": 24, "depth": 2, "heads": 3, "dim_head": 16}


def mel_of(**given: Any) -> torch.nn.Module:
    settings = {
        **SMALL, **PLAIN, "linear_transformer_depth": 0, "add_value_residual": False,
        "stft_hop_length": 441, "mask_estimator_depth": 2, "match_input_audio_length": True,
    }  # fmt: skip
    return stirred(bs_roformer.MelBandRoformer(**{**settings, **given}))


def bs_of(**given: Any) -> torch.nn.Module:
    model = bs_roformer.BSRoformer(**{**SMALL, **PLAIN, "stft_hop_length": 441, **given})
    for part in model.modules():
        for name in ("to_value_residual_mix", "learned_value_residual_mix"):
            if hasattr(part, name):
                setattr(part, name, None)
    return stirred(model)


def stirred(model: torch.nn.Module) -> torch.nn.Module:
    """So that no gain is 1 and no bias 0."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "rotary" not in name:
                weight += 0.05 * torch.randn_like(weight)
    return model.eval()


def close(ours: Any, theirs: Any, channels: int, samples: int) -> None:
    torch.manual_seed(0)
    mixture = 0.1 * torch.randn(2, channels, samples)
    with torch.no_grad():
        found, wanted = ours(mixture), theirs(mixture)
    if found.shape[1] == 1:
        found = found[:, 0]
    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize(
    ("theirs", "settings"),
    [
        ({"stereo": True}, None),
        ({"stereo": True, "num_stems": 3, "mask_estimator_depth": 1, "depth": 1}, None),
        ({"time_transformer_depth": 2, "freq_transformer_depth": 3, "depth": 1}, None),
        (
            {
                "sample_rate": 24_000, "num_bands": 32, "stft_n_fft": 1024,
                "stft_win_length": 1024, "dim_freqs_in": 513, "stft_hop_length": 480,
                "zero_dc": True,
            },
            {"model": {"stft_hop_length": 480, "zero_dc": True}},
        ),
    ],
    ids=["stereo", "stems", "deep", "24kHz"],
)  # fmt: skip
def test_mel_bands_separate_equally(theirs, settings):
    model = mel_of(**theirs)
    ours = mel_roformer.load_published(model.state_dict(), settings=settings).eval()
    close(ours, model, ours.channels, 22_050 + 100)


@pytest.mark.parametrize("stereo", [True, False])
def test_bands_side_by_side_separate_equally(stereo):
    model = bs_of(stereo=stereo)
    ours = mel_roformer.load_published(model.state_dict()).eval()
    assert ours.config.bands == "hand"
    assert ours.config.norm == "last"
    close(ours, model, ours.channels, 50 * 441)


def test_equal_loss_and_gradients():
    model = mel_of()
    ours = mel_roformer.load_published(model.state_dict())
    learner = mel_roformer.Pretraining(ours)
    learner.stft.hops = (1024, 512, 256, 147, 147)  # of newer releases
    torch.manual_seed(0)
    mixture, wanted = 0.1 * torch.randn(2, 1, 1, 22_050)
    loss, (l1, spectral) = model(mixture, target=wanted, return_loss_breakdown=True)
    sources = torch.stack([wanted, mixture - wanted], dim=1)
    found = learner({"mixture": mixture, "sources": sources})
    for name, value in (("loss", loss), ("l1", l1), ("spectral", spectral)):
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7)
    loss.backward(), found["loss"].backward()
    torch.testing.assert_close(
        ours.layers[0][0].attention[0].qkv.weight.grad,
        model.layers[0][1].layers[0][0].branch.to_qkv.weight.grad,
        rtol=1e-3,
        atol=1e-7,
    )


def test_layouts_equal_librosas():
    librosa = pytest.importorskip("librosa")
    seen = 0
    for rate in (8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000):
        for fft in (512, 1024, 2048, 4096):
            for count in (16, 24, 32, 48, 60):
                inside = librosa.filters.mel(sr=rate, n_fft=fft, n_mels=count) > 0
                inside[0, 0] = inside[-1, -1] = True
                if not inside.any(0).all() or not inside.any(1).all():
                    continue
                seen += 1
                found = mel_bands(count, fft, rate)
                wanted = [(int(r.argmax()), len(r) - int(r[::-1].argmax())) for r in inside]
                assert list(found) == wanted, (rate, fft, count)
    assert seen > 80
