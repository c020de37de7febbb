"""Exponential moving average of the weights, evaluated and published in place of the raw ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sonograph.train.distributed import local


class Ema:
    """A shadow of every weight: shadow <- d * shadow + (1 - d) * weight after each update.

    d = min(decay, (1 + n) / (10 + n)) for update n, so that the first weights are forgotten in a
    short run too (the `num_updates` rule of TensorFlow's ExponentialMovingAverage). Buffers and
    integers are copied. Shards of distributed weights are averaged where they lie.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.shadow = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.averaged = {name for name, _ in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, count: int) -> None:
        """Take in the weights after update number `count` (the first is 1)."""
        decay = min(self.decay, (1 + count) / (10 + count))
        for name, value in model.state_dict().items():
            shadow, new = local(self.shadow[name]), local(value.detach())
            if name in self.averaged and shadow.is_floating_point():
                shadow.lerp_(new, 1 - decay)
            else:
                shadow.copy_(new)

    @contextmanager
    def inside(self, model: nn.Module) -> Iterator[None]:
        """The model holds the averaged weights within the block, and its own again after it."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        _copy(self.shadow, model)
        try:
            yield
        finally:
            _copy(own, model)


@torch.no_grad()
def _copy(values: dict[str, Tensor], model: nn.Module) -> None:
    for name, target in model.state_dict().items():
        local(target).copy_(local(values[name]))
