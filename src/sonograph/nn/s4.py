"""The kernel of S4: a state matrix that is diagonal plus a term of rank one.

Gu, Goel and Re, "Efficiently Modeling Long Sequences with Structured State Spaces", ICLR 2022.
HiPPO-LegS, a matrix that remembers, is normal minus a rank one: in the basis that makes its normal
part diagonal, A = L - p p*. Its kernel has no formula place by place, as that of a diagonal matrix
has (`nn.s4d`), but one at the roots of unity (algorithm 1), from where an inverse FFT leads back.

Shapes: d channels, n = N / 2 complex states (the others are their conjugates), g groups of channels
that share A, p and B, l places.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

AT_ONCE = 1 << 23  # complex numbers of a piece of work: channels x states x roots


def legs(states: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HiPPO-LegS in its own basis: (eigenvalues, p, B), (states / 2,) each, complex.

    A[n, k] is -sqrt((2n + 1)(2k + 1)) below the diagonal and -(n + 1) on it, B[n] sqrt(2n + 1);
    with P[n] = sqrt(n + 1/2), A + P P^T is -1/2 plus a skew-symmetric matrix (theorem 1).

    >>> values, p, B = legs(4)
    >>> values.real.tolist(), values.imag.round(2).tolist()
    ([-0.5, -0.5], [0.56, 4.6])
    """
    root = np.sqrt(np.arange(states) + 0.5)
    skew = np.triu(np.outer(root, root), 1)
    skew = skew - skew.T
    angles, basis = np.linalg.eigh(-1j * skew)
    half = basis[:, states // 2 :].conj().T
    return -0.5 + 1j * angles[states // 2 :], half @ root, half @ (2**0.5 * root)


class LowRankKernel(nn.Module):
    """The kernels of d channels: length -> (directions, d, length), float32.

    Discretised bilinearly. `out` is C (1 - A'^frames), of which the kernel of `frames` places is
    the FFT of what algorithm 1 gives; shorter inputs take its beginning, longer ones are an error,
    until `reach` has been told. Channel c is of group c mod groups.
    """

    def __init__(
        self,
        channels: int,
        frames: int,
        states: int = 64,
        groups: int = 0,  # 0: one for each channel
        directions: int = 1,
        steps: tuple[float, float] = (1e-3, 0.1),
    ):
        super().__init__()
        groups = groups or channels
        if channels % groups:
            raise ValueError(f"{channels} channels do not make {groups} groups")
        self.frames, self.copies = frames, channels // groups
        low, high = (math.log(step) for step in steps)
        values, p, B = legs(states)
        self.log_step = nn.Parameter(torch.empty(channels).uniform_(low, high))
        place = self.log_step.device  # may be one without memory
        self.log_decay = nn.Parameter(_repeated(np.log(-values.real), groups).to(place))
        self.frequency = nn.Parameter(_repeated(values.imag, groups).to(place))
        # real and imaginary parts side by side; E |C|^2 = 1
        self.low_rank = nn.Parameter(_repeated(_pairs(p), groups).to(place))
        self.into = nn.Parameter(_repeated(_pairs(B), groups).to(place))
        self.out = nn.Parameter(torch.randn(directions, channels, states // 2, 2) * 0.5**0.5)
        if self.out.device.type != "meta":
            self.reach(frames, so_far=0)

    @torch.no_grad()
    def reach(self, frames: int, so_far: int | None = None) -> None:
        """Make these the kernels of `frames` places, by the same C: what they were goes on.

        so_far: places of what `out` holds; None: of this kernel; 0: `out` is C itself.
        """
        before = self.frames if so_far is None else so_far
        self.frames = frames
        if before == frames:
            return
        power = self.transition()
        one = torch.eye(power.shape[-1], dtype=power.dtype, device=power.device)
        half = self.out.shape[2]
        out = torch.cat([self.out[..., 0], -self.out[..., 1]], -1).double().transpose(0, 1)
        if before:
            out = torch.linalg.solve(
                one - torch.linalg.matrix_power(power, before), out, left=False
            )
        out = (out - out @ torch.linalg.matrix_power(power, frames)).transpose(0, 1)
        self.out.copy_(torch.stack([out[..., :half], -out[..., half:]], -1))

    def transition(self) -> Float[Tensor, "d states states"]:
        """A' of every channel, float64, of real parts of the states followed by imaginary ones.

        There A = L - p p* acts as [[Re L, -Im L], [Im L, Re L]] - 2 v v^T, v = (Re p, Im p), since
        the states that are not kept are conjugates; y is 2 (Re C, -Im C) times the states.
        """
        decay, frequency, p, _ = (x.double() for x in self._by_channel())
        turn = torch.diag_embed(frequency)
        rows = [torch.cat([torch.diag_embed(-decay), -turn], -1)]
        rows.append(torch.cat([turn, torch.diag_embed(-decay)], -1))
        v = p.transpose(1, 2).flatten(1)
        A = torch.cat(rows, 1) - 2 * v[:, :, None] * v[:, None]
        A = A * self.log_step.double().exp()[:, None, None] / 2
        one = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        return torch.linalg.solve(one - A, one + A)

    def forward(self, length: int) -> Float[Tensor, "directions d length"]:
        if length > self.frames:
            raise ValueError(f"{length} places are more than the {self.frames} of this kernel")
        roots = self.frames // 2 + 1
        size = max(1, AT_ONCE // (roots * self.out.shape[2]))
        with torch.autocast(self.out.device.type, enabled=False):
            parts = [x.double() for x in (self.log_step.exp(), *self._by_channel(), self.out)]
            step, decay, frequency, p, B, out = parts
            pieces = [
                checkpoint(_generated, self.frames, *one, out[:, start : start + size],
                           use_reentrant=False)
                for start in range(0, len(step), size)
                for one in [[x[start : start + size] for x in (step, decay, frequency, p, B)]]
            ]  # fmt: skip
            kernel = torch.fft.irfft(torch.cat(pieces, 1), n=self.frames)
        return kernel[..., :length].float()

    def _by_channel(self) -> list[Tensor]:
        """-Re A, Im A, p and B of every channel."""
        shared = (self.log_decay.exp(), self.frequency, self.low_rank, self.into)
        return [x.repeat(self.copies, *[1] * (x.ndim - 1)) for x in shared]


def _generated(
    frames: int, step: Tensor, decay: Tensor, frequency: Tensor, p: Tensor, B: Tensor, out: Tensor
) -> Tensor:
    """The transform of the kernels at the roots of unity, (directions, d, frames / 2 + 1) complex.

    With a = 2 (1 - z), b = step (1 + z) and R = (a - b L)^-1 it is 2 step (C R B - b C R p (1 + b
    p* R p)^-1 p* R B), by Woodbury's identity; at z = -1, where the paper's form divides by 0, too.
    Each product is a sum of v / (a - b L) and of its conjugate, put on one denominator, so that
    numerators are real combinations:

    (2 a Re v - 2 b Re(v conj L)) / (a^2 - 2 a b Re L + b^2 |L|^2)
    """
    turns = torch.arange(frames // 2 + 1, dtype=step.dtype, device=step.device) / frames
    z = torch.polar(torch.ones_like(turns), -2 * math.pi * turns)
    a, b = 2 * (1 - z), step[:, None] * (1 + z)  # (k,), (d, k)
    values = torch.complex(-decay, frequency)
    p, B, C = (torch.view_as_complex(x.contiguous()) for x in (p, B, out))
    wide = b[:, None]
    under = a**2 + 2 * a * wide * decay[..., None] + wide**2 * values.abs()[..., None] ** 2
    inverse = torch.view_as_real(1 / under).flatten(2)  # (d, n, 2 k)

    def summed(v: Tensor) -> Tensor:
        """(..., d, n) -> (..., d, k)"""
        rows = torch.stack([2 * v.real, 2 * (v * values.conj()).real], -2)  # (..., d, 2, n)
        made = torch.view_as_complex((rows @ inverse).unflatten(-1, (-1, 2)).contiguous())
        return a * made[..., 0, :] - b * made[..., 1, :]

    direct, through = summed(C * B), summed(C * p)
    back, around = summed(p.conj() * B), summed(p.conj() * p)
    return 2 * step[:, None] * (direct - b * through * back / (1 + b * around))


def _pairs(values: np.ndarray) -> np.ndarray:
    return np.stack([values.real, values.imag], -1)


def _repeated(values: np.ndarray, groups: int) -> Tensor:
    return torch.as_tensor(values).float().repeat(groups, *[1] * values.ndim)
