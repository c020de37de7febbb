"""How far two waveforms lie apart as a listener's spectrograms see them: a number for each clip.

What vocoders are compared by; to learn from, the same distances are in `losses/spectral.py`.

Shapes: generated, reference (b, n).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sonograph.audio.feature_spec import FeatureSpec, Frontend
from sonograph.errors import InputError
from sonograph.losses.spectral import RESOLUTIONS, magnitude


def multi_resolution_stft(
    generated: Float[Tensor, "b n"], reference: Float[Tensor, "b n"]
) -> Float[Tensor, "b"]:
    """M-STFT: spectral convergence plus log-magnitude distance, over three resolutions.

    |Y - X| / |Y| (Frobenius, Y the reference) plus the mean of |ln Y - ln X|, averaged over FFTs
    of 512, 1024 and 2048 samples; magnitudes are sqrt(max(power, 1e-8)), Hann windows, centred
    frames: auraloss's MultiResolutionSTFTLoss with its defaults, clip by clip. Not symmetric.
    """
    require_pairs(generated, reference)
    total = torch.zeros(len(generated), device=generated.device)
    for fft, hop, size in RESOLUTIONS:
        window = torch.hann_window(size, device=generated.device)
        x, y = (magnitude(one, fft, hop, size, window) for one in (generated, reference))
        convergence = torch.linalg.matrix_norm(y - x) / torch.linalg.matrix_norm(y)
        total += convergence + (y.log() - x.log()).abs().mean(dim=(1, 2))
    return total / len(RESOLUTIONS)


def feature_distance(
    generated: Float[Tensor, "b n"], reference: Float[Tensor, "b n"], spec: FeatureSpec
) -> Float[Tensor, "b"]:
    """Mean absolute difference of each clip's features, in their own unit (ln, log10, dB)."""
    require_pairs(generated, reference)
    frontend = Frontend(spec)
    return (frontend(generated).values - frontend(reference).values).abs().mean(dim=(1, 2))


def require_pairs(generated: Tensor, reference: Tensor) -> None:
    """Raise InputError where the two are no clips of equal lengths, or shorter than a window."""
    if generated.ndim != 2 or generated.shape != reference.shape:
        raise InputError(
            f"waveforms of {tuple(generated.shape)} and {tuple(reference.shape)} cannot be "
            "compared: give (clips, samples), both of one shape"
        )
    least = max(fft for fft, _, _ in RESOLUTIONS) // 2 + 1
    if generated.shape[1] < least:
        raise InputError(f"{generated.shape[1]} samples are too few to compare: give {least}")
