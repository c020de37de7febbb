"""The optimizer and the learning rate that a configuration asks for."""

from __future__ import annotations

from fnmatch import fnmatch

import torch
from torch import nn

from sonograph.errors import InputError
from sonograph.train import schedule
from sonograph.train.config import TrainConfig


def build(
    model: nn.Module, config: TrainConfig, fused: bool, prefix: str = ""
) -> torch.optim.Optimizer:
    """Adam, AMSGrad or AdamW over the weights that want gradients, grouped by rate and decay.

    fused: one kernel for all weights; not for shards. A group's "factor" multiplies the rate.
    prefix: of the names of the weights that are meant.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad and name.startswith(prefix):
            factor = next((f for p, f in config.lr_factors if fnmatch(name, p)), 1.0)
            spared = config.decay_on == "matrices" and weight.ndim < 2
            spared = spared or any(fnmatch(name, pattern) for pattern in config.no_decay)
            decay = 0.0 if spared else config.weight_decay
            groups.setdefault((factor, decay), []).append(weight)
    if not groups:
        where = f" below {prefix!r}" if prefix else ""
        raise InputError(f"the model has no weight to train{where}: every requires_grad is False")
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(
        [
            {"params": weights, "factor": factor, "weight_decay": decay}
            for (factor, decay), weights in groups.items()
        ],
        lr=config.lr,
        betas=config.betas,
        eps=config.epsilon,
        fused=fused,
        amsgrad=config.optimizer == "amsgrad",
    )


def rate(config: TrainConfig, step: int, plateau: float) -> float:
    """The learning rate of the update after `step` updates; plateau: that schedule's factor."""
    factor = schedule.warmup(step, config.warmup_steps)
    if config.schedule == "cosine":
        factor *= schedule.cosine(step, config.steps, config.warmup_steps, config.lr_floor)
    elif config.schedule == "linear":
        factor *= schedule.linear(step, config.steps, config.warmup_steps)
    elif config.schedule == "rsqrt":
        factor *= schedule.rsqrt(step, config.warmup_steps, config.decay_at, config.lr_decay)
    elif config.schedule == "exponential":
        factor *= schedule.exponential(
            step, config.epoch_steps, config.lr_decay, config.flat_epochs
        )
    elif config.schedule == "plateau":
        factor *= plateau
    return config.lr * factor
