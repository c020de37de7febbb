"""F0 as the rows of a table: bins that are equally wide in mel, as NATSpeech cuts them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class PitchBins(NamedTuple):
    """How many rows a table has, how many of them are bins, and from where to where they go."""

    rows: int = 300
    bins: int = 256
    low_hz: float = 50.0
    high_hz: float = 900.0

    def of(self, hz: Float[Tensor, "..."]) -> Int64[Tensor, "..."]:
        """The bin of each F0: 1 where there is no voice, 255 at the most.

        >>> PitchBins().of(torch.tensor([0.0, 50.0, 900.0])).tolist()
        [1, 1, 255]
        """
        bottom, top = (1127 * math.log(1 + edge / 700) for edge in (self.low_hz, self.high_hz))
        mel = 1127 * (1 + hz / 700).log()
        scaled = torch.where(mel > 0, (mel - bottom) * (self.bins - 2) / (top - bottom) + 1, mel)
        return (scaled.clamp(1, self.bins - 1) + 0.5).long()
