"""What encoders of spectrogram patches with learned positions share: SSAST's and SSAMBA's.

Their settings of patches and masks, another input length or stride for weights at hand, and what an
official file tells of its input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from sonograph import config as configuration
from sonograph.audio.feature_spec import FeatureSpec
from sonograph.errors import InputError
from sonograph.nn.patches import patch_grid
from sonograph.nn.positions import resize_positions

USUAL_FRAMES = (1024, 512, 128)  # of the authors' inputs


@dataclasses.dataclass(frozen=True)
class PatchConfig(configuration.Config):
    """Patches of ten seconds, and how many of them an objective hides."""

    patch: tuple[int, int] = (16, 16)  # (bins, frames)
    stride: tuple[int, int] = (16, 16)
    frames: int = 1024  # the longest input; the position table covers it
    masking: Literal["cluster", "random"] = "cluster"
    mask_share: float = 400 / 512
    compat: Literal["none", "published"] = "none"  # "published": the official, biased mask draw
    features: FeatureSpec = FeatureSpec()

    @property
    def grid(self) -> tuple[int, int]:
        return patch_grid((self.features.bins, self.frames), self.patch, self.stride)


Encoder = TypeVar("Encoder", bound=nn.Module)
Settings = TypeVar("Settings", bound=PatchConfig)


def refitted(
    encoder: Encoder, frames: int | None = None, stride: tuple[int, int] | None = None
) -> Encoder:
    """The same encoder for another input length or patch stride; positions are cut or stretched.

    encoder: has a `config` of patches and `positions` (1, special + rows x columns, d).
    """
    own: Any = encoder
    old, table = own.config, own.positions.detach()
    config = dataclasses.replace(old, frames=frames or old.frames, stride=stride or old.stride)
    special = table.shape[1] - old.grid[0] * old.grid[1]
    new = type(encoder)(config).to(table.device)
    positions = resize_positions(table, old.grid, config.grid, special)
    new.load_state_dict({**encoder.state_dict(), "positions": positions})
    return new


def with_published_input(
    config: Settings,
    state: Mapping[str, Tensor],
    special: int,
    strides: Sequence[tuple[int, int]] = (),
) -> Settings:
    """The configuration with the input length and stride of an official file.

    Pre-training files say their length and their bins. In fine-tuned ones the stride is looked for
    among no overlap, 10 (the authors' choice) and `strides`, with 128 bins; of the last of
    `strides` any length will do, of the others the longest of the usual ones that gives so many
    columns.
    special: entries of the position table before those of patches.
    """
    if "p_input_tdim" in state:
        bins = int(state.get("p_input_fdim", config.features.bins))
        features = config.features.override(bins=bins)
        return dataclasses.replace(config, frames=int(state["p_input_tdim"]), features=features)
    (high, wide), places = config.patch, state["v.pos_embed"].shape[1] - special
    tuned = "mlp_head.1.weight" in state
    for stride in (config.patch, (min(10, high), min(10, wide)), *strides):
        rows = (config.features.bins - high) // stride[0] + 1
        if not tuned or places % rows:
            continue
        columns = places // rows
        lengths = [n for n in USUAL_FRAMES if (n - wide) // stride[1] + 1 == columns]
        if stride in strides[-1:]:
            lengths.append((columns - 1) * stride[1] + wide)
        if lengths:
            return dataclasses.replace(config, stride=stride, frames=lengths[0])
    raise InputError(f"cannot tell the patch stride of a file with {places} positions")
