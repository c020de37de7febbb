"""Mamba layers: a selective state space between two linear maps, in one direction or in both.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023), figure 3;
with two directions that share the outer maps, Vision Mamba's (Zhu et al. 2024), figure 2.

Shapes: b clips, l tokens, d width, e = expand * width channels, n states a channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sonograph.nn.scan import Order, selective_scan

STEP_RANGE = (1e-3, 0.1)  # of delta at the start, drawn log-uniformly; Mamba's code
LEAST_STEP = 1e-4


class TimeConv(nn.Conv1d):
    """A convolution of each channel over time that sees only what came before in its order.

    (b, l, e) -> the same.
    """

    def __init__(self, channels: int, kernel: int, order: Order = "forward"):
        super().__init__(channels, channels, kernel, groups=channels)
        self.order = order

    def forward(self, x: Float[Tensor, "b l e"]) -> Float[Tensor, "b l e"]:
        assert self.bias is not None
        with torch.autocast(x.device.type, enabled=False):
            y: Tensor = Taps.apply(  # type: ignore[no-untyped-call]
                x, self.weight[:, 0].to(x.dtype), self.bias.to(x.dtype), self.order
            )
        return y


class Taps(torch.autograd.Function):
    """y_t = bias + sum over k of w_k x_{t-k}, in place and with the channels innermost.

    The scan wants that layout; PyTorch's own convolution leaves another one, and takes a fifth to
    a half longer with its gradients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, order: Order) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.order = order
        now, *delayed = weight.flip(1).unbind(1)
        y = torch.addcmul(bias, x, now)
        for delay, tap in enumerate(delayed, 1):
            to, source = _apart(x.shape[1], delay, order)
            y[:, to].addcmul_(x[:, source], tap)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = dy.contiguous()
        now, *delayed = weight.flip(1).unbind(1)
        dx, product = dy * now, torch.mul(dy, x)
        taps = [product.sum((0, 1))]
        for delay, tap in enumerate(delayed, 1):
            to, source = _apart(x.shape[1], delay, ctx.order)
            dx[:, source].addcmul_(dy[:, to], tap)
            part = product[:, : to.stop - to.start]
            taps.append(torch.mul(dy[:, to], x[:, source], out=part).sum((0, 1)))
        return dx, torch.stack(taps[::-1], 1), dy.sum((0, 1)), None


def _apart(length: int, delay: int, order: Order) -> tuple[slice, slice]:
    """The tokens that have another one `delay` earlier in this order, and those others."""
    late, early = slice(min(delay, length), length), slice(0, max(0, length - delay))
    return (late, early) if order == "forward" else (early, late)


UNDECAYED = ("*.log_rates", "*.skip")  # weight decay leaves these alone; Mamba's code


class SelectiveSpace(nn.Module):
    """One direction: convolution, then a state space whose step, input and output are selected.

    x (b, l, e) -> (b, l, e), before the gate. `mask` marks the tokens of each clip, which come
    first; the others neither see nor change anything. Equations 2 and 4 of the paper; the step
    delta goes through `rank` numbers (section 3.6).
    """

    def __init__(self, channels: int, states: int, rank: int, kernel: int, order: Order):
        super().__init__()
        self.order, self.states, self.rank = order, states, rank
        self.conv = TimeConv(channels, kernel, order)
        self.select = nn.Linear(channels, rank + 2 * states, bias=False)
        self.step = nn.Linear(rank, channels)
        self.log_rates = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(channels, 1))
        self.skip = nn.Parameter(torch.ones(channels))
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Steps log-uniform in STEP_RANGE: the bias is the inverse softplus of them."""
        nn.init.uniform_(self.step.weight, -(self.rank**-0.5), self.rank**-0.5)
        low, high = (math.log(end) for end in STEP_RANGE)
        delta = nn.init.uniform_(self.step.bias, low, high).exp().clamp(min=LEAST_STEP)
        self.step.bias.copy_(delta + torch.log(-torch.expm1(-delta)))

    def forward(
        self, x: Float[Tensor, "b l e"], mask: Bool[Tensor, "b l"] | None = None
    ) -> Float[Tensor, "b l e"]:
        u = F.silu(self.conv(x))
        step, B, C = self.select(u).split([self.rank, self.states, self.states], dim=2)
        delta = F.softplus(self.step(step).float())
        if mask is not None:
            delta = delta * mask[..., None]  # a step of 0 leaves the state as it is
        y = selective_scan(u, delta, -self.log_rates.float().exp(), B, C, self.order)
        return torch.addcmul(y, u.float(), self.skip.float())


class Mamba(nn.Module):
    """A Mamba layer: (b, l, d) -> the same. Several directions share the outer maps.

    With ("forward",) the published layer; with ("forward", "backward") Vision Mamba's
    bidirectional one, "v2" in its code: the mean of both, each with weights of its own. The
    backward direction runs on the sequence as it lies, so nothing is flipped or copied.

    `mask` marks each clip's tokens, which come first: the backward direction starts at the
    clip's own end.

    >>> Mamba(8, states=4)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        width: int,
        directions: Sequence[Order] = ("forward",),
        states: int = 16,
        expand: int = 2,
        kernel: int = 4,
        rank: int | None = None,  # of the step; the paper's is a sixteenth of the width
    ):
        super().__init__()
        if not directions:
            raise ValueError('a Mamba layer needs a direction: "forward", "backward", or both')
        channels, rank = expand * width, rank or -(-width // 16)
        self.expand = nn.Linear(width, 2 * channels, bias=False)
        self.directions = nn.ModuleList(
            SelectiveSpace(channels, states, rank, kernel, order) for order in directions
        )
        self.contract = nn.Linear(channels, width, bias=False)

    def forward(
        self, x: Float[Tensor, "b l d"], mask: Bool[Tensor, "b l"] | None = None
    ) -> Float[Tensor, "b l d"]:
        values, gate = self.expand(x).chunk(2, dim=2)
        if mask is not None:  # what a convolution sees beyond the end of a clip
            values = values * mask[..., None]
        y = self.directions[0](values, mask)
        for direction in self.directions[1:]:
            y = y + direction(values, mask)
        y = y * F.silu(gate)
        return self.contract(y.to(gate.dtype)) / len(self.directions)
