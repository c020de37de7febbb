"""Separators: a mixture in, its stems out, as long as it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor, nn

from sonograph.exports.listening import WAVEFORM, noises
from sonograph.exports.ports import BATCH, Length, Port, Surface

if TYPE_CHECKING:
    from sonograph.nn.separator import Separator

LEAST_S = 0.25  # shorter sounds are filled up with silence by whoever calls


class Separating(nn.Module):
    """mixture (b, channels, n) -> stems (b, stems, channels, n)."""

    def __init__(self, separator: Separator):
        super().__init__()
        self.separator = separator

    def forward(self, mixture: Float[Tensor, "b channels n"]) -> tuple[Tensor]:
        return (self.separator(mixture),)


def separator_surface(separator: Separator) -> Surface:
    step = _step(separator)
    least = -(-round(LEAST_S * separator.rate_hz) // step) * step
    channels, size = separator.channels, separator.window_samples
    return Surface(
        "separator",
        Separating(separator),
        (Port("mixture", (BATCH, channels, "samples"), f"{WAVEFORM}, {separator.rate_hz} Hz"),),
        (Port("stems", (BATCH, len(separator.stems), channels, "samples"), "each stem"),),
        Length("samples", max(least, size // step * step), least, step=step),
        noises(channels),
        {
            "rate_hz": separator.rate_hz,
            "channels": channels,
            "stems": list(separator.stems),
            "stems_have_places": separator.ordered,
            "rest": separator.rest,
        },
    )


def _step(separator: Any) -> int:
    """What lengths are a multiple of: of a front-end's hop where it fills up to whole frames."""
    inside = getattr(separator, "inside", None)
    if inside is None:
        return separator.step_samples
    return inside.hop if hasattr(inside, "hop") else inside.size // 2
