"""How to train, as plain values."""

from __future__ import annotations

import dataclasses
from typing import Literal

from sonograph.config import Config
from sonograph.errors import InputError


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """How to train. What a step does depends on nothing else but model, objective and batches."""

    steps: int = 1000
    batch_size: int = 0  # of `batches`, for the record; the trainer takes batches as they come
    accumulate: int = 1  # batches to one update; the gradient is that of the mean over all clips
    seed: int = 0

    optimizer: Literal["adam", "adamw", "amsgrad"] = "adamw"
    lr: float = 1e-3
    lr_factors: tuple[tuple[str, float], ...] = ()  # (pattern of weight names, factor); first wins
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    decay_on: Literal["all", "matrices"] = "matrices"  # "matrices" spares biases and norms
    no_decay: tuple[str, ...] = ()  # patterns of weight names that are spared in any case
    clip_norm: float = 0.0  # 0: no clipping

    schedule: Literal["constant", "cosine", "linear", "rsqrt", "exponential", "plateau"] = "cosine"
    warmup_steps: int = 0  # linear, with every schedule
    lr_floor: float = 0.0  # cosine ends at this share of lr; linear at 0
    epoch_steps: int = 100  # exponential: updates an epoch
    flat_epochs: int = 0  # exponential: epochs before the first decay
    lr_decay: float = 0.5  # exponential, plateau, rsqrt: factor of one decay
    decay_at: tuple[int, ...] = ()  # rsqrt: updates after which it decays besides
    patience: int = 2  # plateau: evaluations without a new best before a decay

    ema_decay: float = 0.0  # 0: no moving average
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: Literal["none", "blocks"] = "none"
    device: Literal["auto", "cpu"] = "auto"
    parallel: Literal["replicate", "shard"] = "replicate"  # DDP or FSDP2, under torchrun

    eval_every: int = 0  # 0: only at the end
    save_every: int = 500  # 0: only at the end
    log_every: int = 10
    stop_when_flat: float = 0.0  # stop where less is left to gain (train/stopping.py); 0: never

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "log_every", "epoch_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"TrainConfig.{name} is {getattr(self, name)}: it is at least 1")
        at_least_0 = ("lr", "weight_decay", "warmup_steps", "eval_every", "save_every", "clip_norm")
        for name in (*at_least_0, "stop_when_flat"):
            if not getattr(self, name) >= 0:
                raise InputError(f"TrainConfig.{name} is {getattr(self, name)}: it is at least 0")
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"TrainConfig.ema_decay is {self.ema_decay}: it lies in [0, 1)")


# May differ between the first start and a resume, because a step does not depend on them
# (`steps` also ends the cosine and the line: a longer run follows the longer one from there).
FREE_TO_CHANGE = (
    "steps",
    "eval_every",
    "save_every",
    "log_every",
    "stop_when_flat",
    "device",
    "parallel",
    "compile",
)
