"""DiffNet: the formula written out, padding, steps that are told apart."""

from __future__ import annotations

import math

import torch

from sonograph.nn.diffnet import DiffNet, sines
from sonograph.nn.frame_noise import noise_of


def network(**sizes: int) -> DiffNet:
    torch.manual_seed(0)
    made = DiffNet(**({"rows": 5, "channels": 8, "condition": 6, "blocks": 2} | sizes))
    torch.nn.init.normal_(made.end.weight)
    return made


def test_is_the_formula_written_out() -> None:
    made = network(dilation_cycle=2)
    x, told, steps = torch.randn(2, 5, 9), torch.randn(2, 6, 9), torch.tensor([0, 3])
    step = made.widen(sines(steps, 8))
    step = made.narrow(step * torch.tanh(torch.nn.functional.softplus(step)))
    h, skips = torch.relu(made.start(x)), 0
    for k, block in enumerate(made.blocks):
        padded = torch.nn.functional.pad(h + block.step(step)[:, :, None], (2**k, 2**k))
        inner = sum(
            torch.einsum(
                "oi,bit->bot", block.gate.weight[:, :, j], padded[:, :, j * 2**k :][..., :9]
            )
            for j in range(3)
        )
        inner = inner + block.gate.bias[:, None] + block.condition(told)
        out = block.out(inner[:, :8].sigmoid() * inner[:, 8:].tanh())
        h, skips = (h + out[:, :8]) / math.sqrt(2), skips + out[:, 8:]
    expected = made.end(torch.relu(made.skip(skips / math.sqrt(2))))
    torch.testing.assert_close(made(x, steps, told), expected)


def test_padding_changes_nothing_where_there_is_a_mask() -> None:
    made = network()
    x, told, step = torch.randn(1, 5, 12), torch.randn(1, 6, 12), torch.tensor([2])
    mask = (torch.arange(12) < 7).float()[None, None]
    alone = made(x[..., :7], step, told[..., :7])
    torch.testing.assert_close(made(x, step, told, mask)[..., :7], alone)
    assert not torch.allclose(made(x, step, told)[..., :7], alone)


def test_an_untrained_one_says_the_same_of_everything_and_knows_the_step_after() -> None:
    made = DiffNet(5, 8, 6, 2)
    x, told = torch.randn(1, 5, 9), torch.randn(1, 6, 9)
    first = made(x, torch.tensor([0]), told)
    torch.testing.assert_close(first, made.end.bias[None, :, None].expand(1, 5, 9))
    other = network()
    said = [other(x, torch.tensor([k]), told) for k in (0, 1)]
    assert not torch.allclose(said[0], said[1])


def test_sines_are_those_of_tensor2tensor() -> None:
    found = sines(torch.tensor([[2.0, 5.0]]), 6)
    assert found.shape == (1, 2, 6)
    rates = [1.0, 1e-2, 1e-4]
    expected = [math.sin(5 * r) for r in rates] + [math.cos(5 * r) for r in rates]
    torch.testing.assert_close(found[0, 1], torch.tensor(expected))


def test_noise_belongs_to_seed_and_frame() -> None:
    short, long = noise_of(3, (1, 20, 7)), noise_of(3, (2, 20, 11))
    assert torch.equal(short[0], long[1, :, :7])
    assert not torch.equal(short, noise_of(4, (1, 20, 7)))
    assert abs(float(noise_of(5, (1, 80, 400)).std()) - 1) < 0.02
