"""What a model costs: how many of its numbers are not zero, and how many products it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Weights:
    """How many numbers a model holds, and how many of them are not zero."""

    total: int
    nonzero: int


def count_weights(model: nn.Module) -> Weights:
    """Parameters, as they are held: what was learned beside a layer counts with it.

    >>> count_weights(nn.Linear(3, 2)).total
    8
    """
    values = [weight.detach() for weight in model.parameters()]
    return Weights(sum(v.numel() for v in values), sum(int(v.count_nonzero()) for v in values))


def macs(model: nn.Module, *inputs: Any) -> int:
    """Multiply-adds of one forward pass in matrix products and convolutions, as PyTorch runs them.

    Counted from the shapes that reach the kernels, with attention written out; a product with a
    zero counts like any other, and element-wise work does not count.

    >>> macs(nn.Linear(3, 2), torch.zeros(5, 3))
    30
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    training = model.training
    model.eval()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*inputs)
    model.train(training)
    return counter.get_total_flops() // 2
