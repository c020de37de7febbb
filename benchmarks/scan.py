"""Our selective scan beside the slow path of transformers' Mamba: same inputs, equal outputs, time.

The scan alone (without gradients, and with them) and a whole Mamba layer of the tiny model's size
at several lengths. transformers' slow path is what it runs without CUDA kernels of others.

    python -m benchmarks.scan [TOKENS ...]
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import Row, alternately, figure, pair, show
from sonograph.errors import missing_extra
from sonograph.nn.scan import selective_scan

SYSTEM = "ssamba"
PEER = "transformers' slow path"
WIDTH, STATES = 192, 16  # of ssamba-tiny, whose layers have twice as many channels
GOAL_TOKENS, GOAL = 4096, 10.0


def main(lengths: tuple[int, ...] = (1024, 4096, 16_384), repeats: int = 3) -> list[Row]:
    """Rows of scan and layer; AssertionError where the outputs are not equal."""
    if importlib.util.find_spec("transformers") is None:
        raise missing_extra("transformers", "parity")
    logging.getLogger("transformers").setLevel(logging.ERROR)  # that it is slow is the point
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    from tests.parity.test_mamba_transformers import both

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        return selective_scan(u, delta, A, B, C)

    def peer(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        return mamba_selective_scan(u.mT, delta.mT, A, B.mT, C.mT).mT

    rows, taken = [], []
    for length in lengths:
        given = inputs(length)

        with torch.inference_mode():
            same(scan(*given), peer(*given))
            times = alternately(partial(scan, *given), partial(peer, *given), repeats)
        taken.append(times[0])
        goal = GOAL if length == GOAL_TOKENS else None
        rows.append(pair(f"scan, {length} tokens", *times, PEER, goal))
        if length <= GOAL_TOKENS:  # theirs keeps every state for its gradients
            times = alternately(learning(scan, given), learning(peer, given), max(1, repeats - 1))
            rows.append(pair(f"scan with gradients, {length} tokens", *times, PEER))
        layers, theirs = both(WIDTH, STATES)
        layer, mixer = layers[0], theirs.get_submodule("layers.0.mixer")
        x = torch.randn(1, length, WIDTH)
        with torch.inference_mode():
            same(layer(x), mixer(x))
            times = alternately(partial(layer, x), partial(mixer, x), repeats)
        rows.append(pair(f"layer, {length} tokens", *times, PEER))
    growth = taken[-1] / taken[0] / (lengths[-1] / lengths[0])
    rows.append(figure("our time a token, longest / shortest", growth, "times"))
    return rows


def inputs(length: int) -> list[Tensor]:
    """u, delta (log-uniform in [1e-3, 5]), A, B, C of one clip."""
    draw = torch.Generator().manual_seed(0)
    channels = 2 * WIDTH
    delta = torch.empty(1, length, channels).uniform_(-6.9, 1.6, generator=draw).exp()
    u = torch.randn(1, length, channels, generator=draw)
    B, C = (torch.randn(1, length, STATES, generator=draw) for _ in range(2))
    return [u, delta, -torch.arange(1.0, STATES + 1).repeat(channels, 1), B, C]


def learning(scan: Callable[..., Tensor], given: list[Tensor]) -> Callable[[], Any]:
    """The scan and the gradients of all its inputs."""
    wanting = [x.clone().requires_grad_() for x in given]
    return lambda: torch.autograd.grad(scan(*wanting).sum(), wanting)


def same(got: Tensor, want: Tensor) -> None:
    error = float((got - want).norm() / want.norm())
    assert error < 1e-4, f"outputs differ by {error:.1e}: there is nothing to compare"


if __name__ == "__main__":
    show(main(tuple(map(int, sys.argv[1:]))) if sys.argv[1:] else main())
