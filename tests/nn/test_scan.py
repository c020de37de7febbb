from __future__ import annotations

import math

import pytest
import torch

from sonograph.nn.scan import Blocks, Scan, blocks_for, selective_scan, sequential_scan

CUTS = (Blocks(1), Blocks(4), Blocks(64), Blocks(3, 2), Blocks(5, 4, 2), Blocks(2, 16, 1))


def inputs(batch: int, length: int, channels: int, states: int, dtype=torch.float32) -> list:
    """u, delta (log-uniform in [1e-3, 5]), A, B, C."""
    draw = torch.Generator().manual_seed(0)
    span = math.log(5) - math.log(1e-3)
    delta = (torch.rand(batch, length, channels, generator=draw) * span + math.log(1e-3)).exp()
    u, B, C = (
        torch.randn(batch, length, size, generator=draw) for size in (channels, states, states)
    )
    A = -(0.1 + 8 * torch.rand(channels, states, generator=draw))
    return [x.to(dtype) for x in (u, delta, A, B, C)]


def flipped(u, delta, A, B, C):
    turned = [x.flip(1) for x in (u, delta, B, C)]
    return sequential_scan(turned[0], turned[1], A, turned[2], turned[3]).flip(1)


@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("blocks", [None, *CUTS])
def test_equals_the_loop_over_time(order, blocks):
    given = inputs(3, 37, 6, 4)
    want = sequential_scan(*given) if order == "forward" else flipped(*given)
    torch.testing.assert_close(selective_scan(*given, order, blocks), want, rtol=1e-5, atol=1e-5)


def test_equals_the_loop_over_time_at_the_published_size():
    given = inputs(1, 300, 384, 16)
    torch.testing.assert_close(
        selective_scan(*given), sequential_scan(*given), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("blocks", [None, Blocks(3), Blocks(2, 2, 1), Blocks(3, 3, 2)])
def test_gradients_equal_numerical_ones(order, blocks):
    given = [x.requires_grad_() for x in inputs(2, 7, 3, 2, torch.float64)]
    assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, order, blocks), given)


@pytest.mark.parametrize("blocks", [Blocks(4), Blocks(3, 2, 1)])
def test_gradients_equal_those_of_the_loop(blocks):
    def gradients(scan):
        given = [x.requires_grad_() for x in inputs(2, 29, 5, 3)]
        y = scan(*given)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        return [x.grad for x in given]

    ours = gradients(lambda *x: selective_scan(*x, "forward", blocks))
    for got, want in zip(ours, gradients(sequential_scan)):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("blocks", [Blocks(4), Blocks(4, 3)])
def test_padding_with_steps_of_zero_changes_nothing(order, blocks):
    u, delta, A, B, C = inputs(2, 19, 4, 3)
    alone = selective_scan(u[:, :11], delta[:, :11], A, B[:, :11], C[:, :11], order, blocks)
    delta[:, 11:] = 0
    padded = selective_scan(u, delta, A, B, C, order, blocks)[:, :11]
    torch.testing.assert_close(padded, alone, rtol=1e-6, atol=1e-6)


def test_long_steps_neither_overflow_nor_vanish():
    u, delta, A, B, C = inputs(1, 64, 4, 3)
    given = [x.requires_grad_() for x in (u, delta * 0 + 200.0, A, B, C)]
    for blocks in (Blocks(64), Blocks(8, 8)):
        y = selective_scan(*given, "forward", blocks)
        assert torch.isfinite(y).all()
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(y.sum(), given))


def test_float32_under_autocast():
    given = inputs(1, 9, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = selective_scan(*given)
        half = selective_scan(given[0].bfloat16(), *given[1:])
    assert y.dtype == half.dtype == torch.float32
    assert torch.equal(y, selective_scan(*given))


def test_keeps_no_states_of_tokens_for_the_backward_pass():
    given = [x.requires_grad_() for x in inputs(1, 4096, 8, 16)]
    kept = selective_scan(*given, "forward", Blocks(64)).grad_fn
    scan = kept if kept.name().startswith("Scan") else kept.next_functions[0][0]
    saved = sum(x.numel() for x in scan.saved_tensors)
    inputs_alone = sum(x.numel() for x in given)
    assert scan.name() == f"{Scan.__name__}Backward"
    assert saved <= inputs_alone + 4096 // 64 * 8 * 16


def test_cuts_fit_cache_and_accelerator():
    for batch, length, channels in ((1, 22_016, 384), (64, 513, 384), (4, 513, 1536), (2, 3, 8)):
        size = channels * 16
        near = blocks_for(batch, length, channels, 16, "cpu")
        assert near.chunks == 1
        assert 1 <= near.clips <= batch
        assert near.steps * near.clips * size <= 400_000
        far = blocks_for(batch, length, channels, 16, "cuda")
        assert far.steps * (far.chunks - 1) < length
        assert far.steps**2 <= length
