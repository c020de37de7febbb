"""HiFi-GAN's multi-scale discriminator: the same as of the multi-period one."""

from __future__ import annotations

from typing import Any

from sonograph.nn.discriminators import ScaleDiscriminators
from tests.golden.runners.hifi_gan_mpd import judged


def run(case: Any, golden: Any) -> dict[str, Any]:
    return judged(case, golden, ScaleDiscriminators())
