"""What a model costs whoever runs it: weights, and multiplications for one input."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def parameters(model: nn.Module) -> int:
    """How many weights."""
    return sum(weight.numel() for weight in model.parameters())


@torch.no_grad()
def macs(model: nn.Module, *inputs: Any) -> int:
    """Multiply-accumulates of matrix products, convolutions and attention in one forward pass.

    Counted while it runs, so that only what is really computed counts. Sums, norms and
    activations are left out, as is usual.

    >>> macs(nn.Linear(8, 4), torch.zeros(3, 8))
    96
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # attention as plain products: its fused kernel for processors is unknown to the counter
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops() // 2
