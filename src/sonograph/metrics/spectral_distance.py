"""How far two waveforms lie apart as a listener's spectrograms see them.

Shapes: generated, reference (b, n), n samples at any rate.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.errors import InputError


class Resolution(NamedTuple):
    """Of one spectrogram, in samples."""

    fft: int
    hop: int
    window: int


# those of Yamamoto et al. 2020 (Parallel WaveGAN), which auraloss takes by default
RESOLUTIONS = (Resolution(1024, 120, 600), Resolution(2048, 240, 1200), Resolution(512, 50, 240))


def multi_resolution_stft(
    generated: Float[Tensor, "b n"], reference: Float[Tensor, "b n"]
) -> Float[Tensor, "b"]:
    """M-STFT of each clip: spectral convergence plus log-magnitude distance, over 3 resolutions.

    |Y - X| / |Y| (Frobenius, Y the reference) plus the mean of |ln Y - ln X|, averaged over the
    resolutions; magnitudes are sqrt(max(power, 1e-8)), Hann windows, centred frames. The numbers
    of auraloss's MultiResolutionSTFTLoss with its defaults. Not symmetric.
    """
    require_pairs(generated, reference)
    distance = torch.zeros(len(generated), device=generated.device)
    for resolution in RESOLUTIONS:
        x, y = (_magnitudes(wave, resolution) for wave in (generated, reference))
        convergence = torch.linalg.matrix_norm(y - x) / torch.linalg.matrix_norm(y)
        distance += convergence + (y.log() - x.log()).abs().mean(dim=(1, 2))
    return distance / len(RESOLUTIONS)


def log_mel_distance(
    generated: Float[Tensor, "b n"], reference: Float[Tensor, "b n"], spec: FeatureSpec
) -> Float[Tensor, "b"]:
    """Mean absolute difference of each clip's features, in their own unit (ln, log10, dB)."""
    require_pairs(generated, reference)
    frontend = Frontend(spec)
    return (frontend(generated).values - frontend(reference).values).abs().mean(dim=(1, 2))


def require_pairs(generated: Tensor, reference: Tensor) -> None:
    """Raise InputError where the two are no clips of equal lengths."""
    if generated.ndim != 2 or generated.shape != reference.shape:
        raise InputError(
            f"waveforms of {tuple(generated.shape)} and {tuple(reference.shape)} cannot be "
            "compared: give (clips, samples), both of one shape"
        )
    if generated.shape[1] <= max(one.fft for one in RESOLUTIONS) // 2:
        raise InputError(f"{generated.shape[1]} samples are too few to compare: give 1025 or more")


def _magnitudes(waveform: Tensor, resolution: Resolution) -> Float[Tensor, "b bins frames"]:
    spectrum = torch.stft(
        waveform,
        resolution.fft,
        resolution.hop,
        resolution.window,
        torch.hann_window(resolution.window, device=waveform.device),
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=1e-8).sqrt()
