"""A slow copy of a module: the key encoder of contrastive learning with a memory."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class MomentumCopy(nn.Module):
    """A copy of a module that follows it: copy <- m * copy + (1 - m) * module at each `follow`.

    m = min(momentum, (1 + n) / (10 + n)) for call n, so that a short run forgets the first weights
    too (the rule of `train.ema`); over thousands of calls it is `momentum`. Buffers are copied. The
    copy has no gradients and stays in evaluation mode: what it answers for a clip does not depend
    on the clips beside it. Momentum encoder of MoCo (He et al. 2020, equation 2).

    >>> slow = MomentumCopy(nn.Linear(3, 2), 0.999)
    >>> slow(torch.zeros(1, 3)).requires_grad
    False
    """

    def __init__(self, module: nn.Module, momentum: float):
        super().__init__()
        self.momentum = momentum
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> MomentumCopy:
        """Always evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, module: nn.Module, count: int) -> None:
        """Move towards the module, before update number `count` (the first is 1)."""
        kept = min(self.momentum, (1 + count) / (10 + count))
        own = dict(self.module.named_parameters())
        for name, weight in module.named_parameters():
            own[name].lerp_(weight.detach().to(own[name].dtype), 1 - kept)
        buffers = dict(self.module.named_buffers())
        for name, value in module.named_buffers():
            buffers[name].copy_(value)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        return self.module(*inputs)
