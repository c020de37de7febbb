"""Which losses an acoustic model is taught by, and what each of them weighs."""

from __future__ import annotations

import dataclasses
from typing import Literal

from sonograph.config import Config


@dataclasses.dataclass(frozen=True)
class Losses(Config):
    """What is summed up. duration: of log(1 + frames), or of frames (xcmyz)."""

    mel: Literal["mse", "l1", "l1 and ssim"] = "mse"
    duration: Literal["log mse", "l1"] = "log mse"
    token_duration: float = 1.0
    word_duration: float = 0.0
    sentence_duration: float = 0.0
    pitch: float = 1.0
    voicing: float = 1.0
    energy: float = 1.0
