"""Kaldi filter-bank features, as SSAST, AST, SSAMBA (hann_symmetric) and BEATs (povey) take
them.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sonograph.audio.feature_spec import FeatureSpec, Frontend


def kaldi_fbank(
    waveform: Float[Tensor, "b n"],
    bins: int = 128,
    window: Literal["hann_symmetric", "povey"] = "hann_symmetric",
    rate_hz: int = 16000,
) -> Float[Tensor, "b bins frames"]:
    """Log mel energies of 25 ms frames every 10 ms, raw: no clip mean, no normalisation, no dither.

    Kaldi's compute-fbank-feats with snip-edges, DC removal, pre-emphasis 0.97, 20 Hz to Nyquist,
    power spectrum, natural log of max(e, 2^-23). frames = 1 + (n - 400) // 160 at 16 kHz. BEATs
    scales the waveform by 2^15 first.
    """
    return kaldi_frontend(bins, window, rate_hz).to(waveform.device)(waveform).values


def kaldi_frontend(
    bins: int = 128,
    window: Literal["hann_symmetric", "povey"] = "hann_symmetric",
    rate_hz: int = 16000,
) -> Frontend:
    """The module behind `kaldi_fbank`; build it once where many clips follow."""
    width = rate_hz * 25 // 1000
    return Frontend(
        FeatureSpec(
            rate_hz=rate_hz,
            window_samples=width,
            hop_samples=rate_hz // 100,
            fft_samples=1 << (width - 1).bit_length(),
            window=window,
            bins=bins,
            high_hz=rate_hz / 2,
            clip_mean="keep",
            mean=0.0,
            deviation=1.0,
        )
    )
