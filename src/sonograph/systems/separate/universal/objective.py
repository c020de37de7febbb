"""How it learns: the distance from the anchor segment that a mixture was made of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.audio.stft import Stft
from sonograph.errors import InputError
from sonograph.systems.separate.universal.model import Universal, magnitude

FLOOR = 1e-8  # of powers in the loss of magnitudes


def waveform_l1(made: Float[Tensor, "*b n"], wanted: Float[Tensor, "*b n"]) -> Float[Tensor, ""]:
    """The mean absolute difference of samples. Equation 7."""
    return (made - wanted).abs().mean()


def magnitude_l1(
    made: Float[Tensor, "b channels n"], wanted: Float[Tensor, "b channels n"], stft: Stft
) -> Float[Tensor, ""]:
    """The mean absolute difference of magnitudes (an option of the official code)."""
    spectra = [magnitude(stft(sound.flatten(0, 1)), FLOOR) for sound in (made, wanted)]
    return (spectra[0] - spectra[1]).abs().mean()


class Pretraining(nn.Module):
    """The objective around a separator: L1 between what it made and the source it was asked for.

    batch: "mixture" (b, channels, n), "sources" (b, s, channels, n), of which the first is asked
    for, and "condition" (b, c); without it, the query net listens to that source. Section III.D.
    """

    def __init__(self, separator: Universal):
        super().__init__()
        self.separator = separator
        config = separator.config
        self.stft = Stft(config.fft_samples, config.hop_samples, config.fft_samples)

    def forward(
        self, batch: Mapping[str, Tensor], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """{"loss", "waveform"}, and "magnitude" where it is part of the loss."""
        wanted = batch["sources"][:, 0]
        made = self.separator.net(batch["mixture"], self.condition(batch, wanted))
        parts = {"waveform": waveform_l1(made, wanted)}
        if self.separator.config.loss == "waveform+magnitude":
            parts["magnitude"] = magnitude_l1(made, wanted, self.stft)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def condition(self, batch: Mapping[str, Tensor], wanted: Tensor) -> Float[Tensor, "b c"]:
        if "condition" in batch:
            return batch["condition"]
        if self.separator.query is None:
            raise InputError('this model has no query net: give "condition" in every batch')
        return self.separator.query(wanted.mean(1))
