"""What every separator is: a mixture in, its parts out."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.pretrained import Pretrained


class Separator(nn.Module, Pretrained):
    """Pulls a mixture of `channels` channels at `rate_hz` apart into `stems`.

    `ordered`: whether each stem has a place of its own, as vocals and drums have; talkers have
    not, and `infer/separate.py` keeps them apart from window to window.
    `rest`: what the mixture minus all stems is called, where that is of use.
    `level_is_open`: whether what it learns by leaves the level and the sign of its stems open, as
    SI-SNR does; then `rescale` puts them right after training.
    `window_samples`: how much it hears at once in a long sound; it takes any length.
    `step_samples`: windows are a multiple of it, where its front-end asks for that.
    """

    rate_hz: int
    channels: int
    stems: tuple[str, ...]
    ordered: bool = True
    rest: str | None = None
    level_is_open: bool = False
    window_samples: int
    step_samples: int = 1
    card: dict[str, Any]
    name: str

    def forward(
        self, mixture: Float[Tensor, "b channels n"]
    ) -> Float[Tensor, "b stems channels n"]:
        """The parts, as long as the mixture, full scale 1; n >= 1. Silence gives silence.

        Clips of a batch do not see each other. What a model asks of the level of its input it
        does here, and undoes in its answer.
        """
        raise NotImplementedError

    def rescale(self, gain: float) -> None:
        """Multiply every stem by `gain` from now on, by a change of weights."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What `weights.build` needs to make this model again; "kind" is "separator"."""
        raise NotImplementedError
