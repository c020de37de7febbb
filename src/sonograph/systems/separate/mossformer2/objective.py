"""What the separator and the enhancer learn by."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.losses.separation import negative_si_snr, permutation_invariant
from sonograph.losses.spectral import MultiResolutionStft
from sonograph.systems.separate.mossformer2.model import (
    Learned,
    MossFormer2,
    SpectralMask,
    spectral_part,
)

RESOLUTIONS = ((256, 128, 256), (512, 256, 512), (1024, 512, 1024))  # FFT, hop, window samples
SPECTRAL_WEIGHT = 5.0  # of the spectral distance beside dB of SI-SNR


class Pretraining(nn.Module):
    """The objective around a model; batches are those of `data/mixtures.py`.

    Talkers: -SI-SNR under each clip's best order (the paper, section 3.2). Speech: the phase-
    sensitive mask of the published enhancer, or -SI-SNR with a distance of spectra (ours).
    """

    def __init__(self, separator: MossFormer2):
        super().__init__()
        self.separator = separator
        self.spectra = MultiResolutionStft(RESOLUTIONS)

    def forward(
        self, batch: dict[str, Tensor], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        mixture, sources = batch["mixture"], batch["sources"][:, : len(self.separator.stems), 0]
        front = self.separator.config.front
        if isinstance(front, Learned):
            made = self.separator(mixture)[:, :, 0]
            loss = permutation_invariant(made, sources)[0].mean()
            return {"loss": loss, "si_snr": -loss.detach()}
        if front.objective == "phase_sensitive":
            scale = self.separator.scale(mixture[:, 0])
            return phase_sensitive(
                spectral_part(self.separator), mixture[:, 0] * scale, sources[:, 0] * scale
            )
        made = self.separator(mixture)[:, 0, 0]
        si_snr = -negative_si_snr(made, sources[:, 0]).mean()
        spectra = self.spectra(made, sources[:, 0])
        loss = SPECTRAL_WEIGHT * spectra - si_snr
        return {"loss": loss, "si_snr": si_snr.detach(), "spectra": spectra.detach()}

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again."""
        return self.separator.describe()


def phase_sensitive(
    part: SpectralMask, noisy: Float[Tensor, "b n"], clean: Float[Tensor, "b n"]
) -> dict[str, Tensor]:
    """Mean of w (mask - |S| cos(angle S - angle Y) / |Y|)^2, the target within 0 and 1.

    w = |Y| over its mean in the clip: what is loud counts. Erdogan et al. 2015 (phase-sensitive
    mask); the weight's normalisation is ours, none is published.
    """
    padding = part.padding(noisy.shape[1])
    noisy, clean = (nn.functional.pad(x, padding) for x in (noisy, clean))
    masks = part.masks(noisy)
    with torch.no_grad():
        y, s = part.spectrum(noisy), part.spectrum(clean)
        power = y.abs().square().clamp(min=1e-12)
        target = ((s * y.conj()).real / power).clamp(0, 1)
        weight = power.sqrt()
        weight = weight / weight.mean((1, 2), keepdim=True)
    loss = (weight * (masks - target).abs().square()).mean()
    return {"loss": loss}
