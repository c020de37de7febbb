"""Blocks of self-pre-training against others' code: PyTorch's attention, GPT-J's rotary positions
(transformers), and SciPy's discrete state spaces.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.nn.rotary import rotated
from sonograph.nn.s4 import LowRankKernel
from sonograph.nn.s4d import DiagonalKernel, convolved, diagonal_space
from sonograph.nn.window_attention import SequenceAttention


@torch.no_grad()
def test_attention_equals_pytorchs():
    torch.manual_seed(0)
    ours, theirs = SequenceAttention(24, 3), torch.nn.MultiheadAttention(24, 3, batch_first=True)
    theirs.in_proj_weight.copy_(ours.qkv.weight)
    theirs.in_proj_bias.copy_(ours.qkv.bias)
    theirs.out_proj.load_state_dict(ours.project.state_dict())
    x, mask = torch.randn(2, 11, 24), torch.arange(11) < torch.tensor([[11], [6]])
    want = theirs(x, x, x, key_padding_mask=~mask)[0]
    torch.testing.assert_close(ours(x, mask), want, atol=1e-6, rtol=1e-5)
    later = torch.ones(11, 11, dtype=torch.bool).triu(1)
    ours.sees = "past"
    torch.testing.assert_close(ours(x), theirs(x, x, x, attn_mask=later)[0], atol=1e-6, rtol=1e-5)


def test_rotary_positions_equal_gpt_js():
    gptj = pytest.importorskip("transformers.models.gptj.modeling_gptj")
    x = torch.randn(2, 3, 17, 8)
    sin, cos = gptj.create_sinusoidal_positions(17, 8)[None].chunk(2, -1)
    want = gptj.apply_rotary_pos_emb(x.transpose(1, 2), sin, cos).transpose(1, 2)
    torch.testing.assert_close(rotated(x), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("discretise", ["zoh", "bilinear"])
@pytest.mark.parametrize("groups", [0, 2])
@torch.no_grad()
def test_kernels_equal_scipys_state_spaces(discretise, groups):
    signal = pytest.importorskip("scipy.signal")
    torch.manual_seed(0)
    kernel = DiagonalKernel(4, 6, groups, discretise=discretise, source="learned")
    kernel.into.add_(torch.randn(kernel.into.shape))
    got = kernel(37).numpy()[0]
    for channel in range(4):
        group = channel % (groups or 4)
        A = np.diag(
            (-kernel.log_decay[group].double().exp() + 1j * kernel.frequency[group]).numpy()
        )
        B = torch.view_as_complex(kernel.into[group].double()).numpy()[:, None]
        C = torch.view_as_complex(kernel.out[0, channel].double()).numpy()[None]
        step = float(kernel.log_step[channel].double().exp())
        # SciPy's bilinear form divides the output map, too: what is compared is A and B
        Ad, Bd, *_ = signal.cont2discrete((A, B, C, np.zeros((1, 1))), step, discretise)
        want, state = [], Bd
        for _ in range(37):
            want.append(2 * (C @ state).real.item())
            state = Ad @ state
        np.testing.assert_allclose(got[channel], want, atol=2e-6)


@pytest.mark.parametrize("frames", [37, 64])
@torch.no_grad()
def test_kernels_of_low_rank_equal_scipys_state_spaces(frames):
    """S4 with weights of any kind, A as a whole complex matrix with its conjugate states."""
    signal = pytest.importorskip("scipy.signal")
    torch.manual_seed(0)
    kernel = LowRankKernel(4, frames, states=8, groups=2, directions=2)
    for weight in (kernel.log_decay, kernel.frequency, kernel.low_rank, kernel.into):
        weight.add_(0.1 * torch.randn(weight.shape))
    given = torch.randn(2, 4, 4, 2)
    kernel.out.copy_(given)
    kernel.reach(frames, so_far=0)
    got = kernel(37).numpy()
    for channel in range(4):
        group = channel % 2
        p, B = (
            torch.view_as_complex(x[group].double()).numpy() for x in (kernel.low_rank, kernel.into)
        )
        own = (-kernel.log_decay[group].double().exp() + 1j * kernel.frequency[group]).numpy()
        p, B, values = (np.concatenate([x, x.conj()]) for x in (p, B, own))
        A = np.diag(values) - np.outer(p, p.conj())
        step = float(kernel.log_step[channel].double().exp())
        blank = np.zeros((1, len(A)))
        Ad, Bd, *_ = signal.cont2discrete(
            (A, B[:, None], blank, np.zeros((1, 1))), step, "bilinear"
        )
        for direction in range(2):
            half = torch.view_as_complex(given[direction, channel].double()).numpy()
            C, state, want = np.concatenate([half, half.conj()]), Bd[:, 0], []
            for _ in range(37):
                want.append((C @ state).real)
                state = Ad @ state
            np.testing.assert_allclose(got[direction, channel], want, atol=2e-6)


@torch.no_grad()
def test_convolutions_equal_numpys():
    torch.manual_seed(0)
    u, kernel = torch.randn(1, 2, 23), torch.randn(2, 2, 23)
    y = convolved(u, kernel)
    for d in range(2):
        forward = np.convolve(u[0, d], kernel[0, d])[:23]
        backward = np.convolve(u[0, d].flip(0), kernel[1, d])[:23][::-1]
        want = forward + np.append(backward[1:], 0)  # the second kernel begins with the next token
        np.testing.assert_allclose(y[0, d], want, atol=1e-5)


@torch.no_grad()
def test_a_layer_is_the_recurrence():
    """The standalone layer with its states carried along, token by token."""
    torch.manual_seed(0)
    layer, u = diagonal_space(3, states=8).eval(), torch.randn(1, 40, 3)
    kernel = layer.kernel
    step = kernel.log_step.double().exp()[:, None]
    A = torch.complex(-kernel.log_decay.double().exp(), kernel.frequency.double())
    power = (step * A).exp()
    B, C = (power - 1) / A, torch.view_as_complex(kernel.out[0].double())
    state, y = torch.zeros_like(A), []
    for token in u[0].double():
        state = power * state + B * token[:, None]
        y.append(2 * (C * state).sum(1).real + layer.skip.double() * token)
    made = torch.nn.functional.gelu(torch.stack(y)).float()
    want = torch.nn.functional.glu(layer.mix(made), dim=-1)
    torch.testing.assert_close(layer(u)[0], want, atol=1e-5, rtol=1e-5)
