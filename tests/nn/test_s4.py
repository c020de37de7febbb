from __future__ import annotations

import numpy as np
import pytest
import torch

from sonograph.nn import s4
from sonograph.nn.s4 import LowRankKernel, legs


def hippo(states: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B as the paper writes them."""
    n = np.arange(states)
    A = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1.0)
    return A, np.sqrt(2 * n + 1.0)


def written_out(kernel: LowRankKernel, length: int) -> np.ndarray:
    """The recurrence with whole matrices, place by place, from HiPPO's A and B."""
    states = 2 * kernel.out.shape[2]
    A, B = hippo(states)
    root = np.sqrt(np.arange(states) + 0.5)
    skew = np.triu(np.outer(root, root), 1)
    _, basis = np.linalg.eigh(-1j * (skew - skew.T))
    back = basis[:, states // 2 :].conj().T
    out = kernel.out.detach().double().numpy()
    rows = []
    for direction in out[..., 0] + 1j * out[..., 1]:
        for half, step in zip(direction, kernel.log_step.detach().double().exp().numpy()):
            inverse = np.linalg.inv(np.eye(states) - step / 2 * A)
            power, into = inverse @ (np.eye(states) + step / 2 * A), inverse @ B * step
            whole = 2 * (half @ back).real  # C (1 - A'^frames), as is learned
            whole = whole @ np.linalg.inv(
                np.eye(states) - np.linalg.matrix_power(power, kernel.frames)
            )
            row = []
            for _ in range(length):
                row.append(whole @ into)
                into = power @ into
            rows.append(row)
    return np.array(rows).reshape(len(out), -1, length)


def test_its_own_basis_gives_back_hippo():
    A, B = hippo(8)
    values, p, into = legs(8)
    root = np.sqrt(np.arange(8) + 0.5)
    skew = np.triu(np.outer(root, root), 1)
    _, basis = np.linalg.eigh(-1j * (skew - skew.T))
    half = basis[:, 4:]
    whole = np.concatenate([half, half.conj()], 1)
    p, into = np.concatenate([p, p.conj()]), np.concatenate([into, into.conj()])
    middle = np.diag(np.concatenate([values, values.conj()])) - np.outer(p, p.conj())
    np.testing.assert_allclose(whole @ middle @ whole.conj().T, A, atol=1e-10)
    np.testing.assert_allclose(whole @ into, B, atol=1e-10)


@pytest.mark.parametrize("frames", [40, 41])
@pytest.mark.parametrize("directions", [1, 2])
def test_equals_the_recurrence(frames, directions):
    torch.manual_seed(0)
    kernel = LowRankKernel(4, frames, states=8, groups=2, directions=directions)
    got = kernel(frames).detach().numpy()
    np.testing.assert_allclose(got, written_out(kernel, frames), rtol=2e-4, atol=2e-5)
    shorter = kernel(17).detach().numpy()
    np.testing.assert_array_equal(shorter, got[..., :17])


def test_equals_the_recurrence_at_the_published_size():
    torch.manual_seed(0)
    kernel = LowRankKernel(3, 1024, states=64, groups=1)
    want = written_out(kernel, 200)
    got = kernel(200).detach().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


def test_pieces_change_nothing(monkeypatch):
    torch.manual_seed(0)
    kernel = LowRankKernel(6, 30, states=4)
    whole = kernel(30)
    grads = torch.autograd.grad(whole.square().sum(), list(kernel.parameters()))
    monkeypatch.setattr(s4, "AT_ONCE", 2 * 2 * 16)
    parts = kernel(30)
    torch.testing.assert_close(parts, whole)
    again = torch.autograd.grad(parts.square().sum(), list(kernel.parameters()))
    for one, other in zip(grads, again):
        torch.testing.assert_close(one, other)


def test_gradients_equal_numerical_ones():
    torch.manual_seed(0)
    kernel = LowRankKernel(2, 9, states=4)
    parts = [kernel.log_step.exp(), *kernel._by_channel(), kernel.out]
    given = [x.detach().double().requires_grad_() for x in parts]
    assert torch.autograd.gradcheck(lambda *x: torch.view_as_real(s4._generated(9, *x)), given)


@torch.no_grad()
def test_transitions_equal_those_of_hippo():
    """A' of the real states is HiPPO's, discretised, in another basis."""
    kernel = LowRankKernel(3, 10, states=8, groups=1)
    A, _ = hippo(8)
    for made, step in zip(kernel.transition().numpy(), kernel.log_step.double().exp().numpy()):
        want = np.linalg.inv(np.eye(8) - step / 2 * A) @ (np.eye(8) + step / 2 * A)
        for power in (1, 2, 7, 60):
            one, other = (np.trace(np.linalg.matrix_power(x, power)) for x in (made, want))
            np.testing.assert_allclose(one, other, rtol=1e-6)


@torch.no_grad()
def test_drawn_as_published_and_carried_to_other_lengths():
    """C itself has numbers of unit variance; whatever the length, the kernel goes on as it was."""
    torch.manual_seed(0)
    long = LowRankKernel(64, 90, states=16, groups=2, directions=2)
    want = long(90)
    kernel = LowRankKernel(64, 40, states=16, groups=2, directions=2)
    kernel.load_state_dict(long.state_dict())
    kernel.reach(40, so_far=90)
    torch.testing.assert_close(kernel(40), want[..., :40], atol=1e-5, rtol=1e-4)
    kernel.reach(90)
    torch.testing.assert_close(kernel(90), want, atol=1e-5, rtol=1e-4)
    torch.manual_seed(0)
    uncut = LowRankKernel.reach
    LowRankKernel.reach = lambda self, frames, so_far=None: None
    try:
        drawn = LowRankKernel(64, 90, states=16, groups=2, directions=2)
    finally:
        LowRankKernel.reach = uncut
    assert abs(float(drawn.out.square().sum(-1).mean()) - 1) < 0.1
    before = drawn.out.clone()
    drawn.reach(90, so_far=0)
    torch.testing.assert_close(drawn.out, long.out)
    assert (drawn.out - before).abs().max() > 1e-2


def test_bad_sizes():
    with pytest.raises(ValueError, match="11 places are more than the 10"):
        LowRankKernel(2, 10, states=4)(11)
    with pytest.raises(ValueError, match="3 channels do not make 2 groups"):
        LowRankKernel(3, 10, groups=2)
