"""Parts of normalising flows over sequences: each is invertible and knows its log-determinant.

A part answers `forward(x, mask, ...)` and `inverse(y, mask, ...)` with (values, log-determinant):
of each sequence, the logarithm of how much the part stretches space, summed over the positions
that the mask keeps; that of the inverse is its negative. Padded positions stay 0.

Dinh et al. 2017 (Real NVP), Kingma and Dhariwal 2018 (Glow), Kim et al. 2020 (Glow-TTS), Kim et al.
2021 (VITS), Ren et al. 2021 (PortaSpeech).

Shapes: x, y (b, channels, t), mask (b, 1, t) of 0 and 1, condition (b, k, t).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sonograph.nn.wavenet import GatedLayers, WaveNet, condition_of
from sonograph.nn.weight_norm import weight_norm


class Flowed(NamedTuple):
    """What a part of a flow answers."""

    values: Float[Tensor, "b channels t"]
    log_determinant: Float[Tensor, "b"]


class ActNorm(nn.Module):
    """A scale and a shift of each channel: y = exp(s) x + m. Glow, section 3.1.

    Begins as the identity; `fit` sets it so that what it answers to x has mean 0 and variance 1.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Float[Tensor, "b c t"], mask: Float[Tensor, "b 1 t"]) -> Flowed:
        y = (self.shift + self.log_scale.exp() * x) * mask
        return Flowed(y, self.log_scale.sum() * mask.sum((1, 2)))

    def inverse(self, y: Float[Tensor, "b c t"], mask: Float[Tensor, "b 1 t"]) -> Flowed:
        x = (y - self.shift) * (-self.log_scale).exp() * mask
        return Flowed(x, -self.log_scale.sum() * mask.sum((1, 2)))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "b c t"], mask: Float[Tensor, "b 1 t"]) -> None:
        count = mask.sum()
        mean = (x * mask).sum((0, 2), keepdim=True) / count
        variance = ((x - mean).square() * mask).sum((0, 2), keepdim=True) / count
        self.log_scale.copy_(-0.5 * variance.clamp(min=1e-6).log())
        self.shift.copy_(-mean * self.log_scale.exp())


class GroupedMixing(nn.Module):
    """An invertible matrix mixes a few channels at a time, in LU form. Glow-TTS, appendix A.2.

    A group takes half of its channels from the first half of all and half from the second, so that
    both halves of a coupling meet. W = P (L + 1) (U + diag(sign exp(s))); log |det W| = sum s.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int, group: int = 4):
        super().__init__()
        if group % 2 or channels % group:
            raise ValueError(f"{channels} channels do not fall into even groups of {group}")
        self.group = group
        device = torch.get_default_device()  # on which, if it is "meta", nothing is decomposed
        start = torch.linalg.qr(torch.randn(group, group, device="cpu"))[0]
        if torch.linalg.det(start) < 0:
            start[:, 0] = -start[:, 0]
        permutation, lower, upper = (part.to(device) for part in torch.linalg.lu(start))
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())

    @property
    def matrix(self) -> Float[Tensor, "group group"]:
        one = torch.eye(self.group, device=self.lower.device, dtype=self.lower.dtype)
        diagonal = torch.diag(self.sign * self.log_diagonal.exp())
        return self.permutation @ (self.lower.tril(-1) + one) @ (self.upper.triu(1) + diagonal)

    def forward(self, x: Float[Tensor, "b c t"], mask: Float[Tensor, "b 1 t"]) -> Flowed:
        return Flowed(self._mixed(x, self.matrix) * mask, self._log_determinant(x, mask))

    def inverse(self, y: Float[Tensor, "b c t"], mask: Float[Tensor, "b 1 t"]) -> Flowed:
        matrix = torch.linalg.inv(self.matrix.double()).to(y.dtype)
        return Flowed(self._mixed(y, matrix) * mask, -self._log_determinant(y, mask))

    def _log_determinant(self, x: Tensor, mask: Tensor) -> Float[Tensor, "b"]:
        return self.log_diagonal.sum() * (x.shape[1] // self.group) * mask.sum((1, 2))

    def _mixed(self, x: Tensor, matrix: Tensor) -> Float[Tensor, "b c t"]:
        """Channel (half h, index k, place p) belongs to group k, where it is number h G/2 + p."""
        b, channels, t = x.shape
        half = self.group // 2
        grouped = x.reshape(b, 2, channels // self.group, half, t)
        kernel = matrix.reshape(2, half, 2, half)
        return torch.einsum("ijhp,bhkpt->bikjt", kernel, grouped).reshape(b, channels, t)


class AffineCoupling(nn.Module):
    """The second half of the channels is scaled and shifted by what a WaveNet reads in the first.

    y1 = x1; y2 = m(x1) + exp(s(x1)) x2. Begins as the identity. Glow, section 3.3, without the
    sigmoid around the scale. The gated layers are an argument, so that several steps may share
    them; start, end and condition are the step's own.
    """

    def __init__(self, channels: int, layers: GatedLayers, condition: int):
        super().__init__()
        self.kept = channels // 2
        self.start = weight_norm(nn.Conv1d(self.kept, layers.width, 1))
        self.condition = condition_of(layers, condition)
        self.end = nn.Conv1d(layers.width, channels, 1)
        nn.init.zeros_(self.end.weight)
        assert self.end.bias is not None
        nn.init.zeros_(self.end.bias)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor, layers: GatedLayers) -> Flowed:
        first, second = x.split(self.kept, dim=1)
        shift, log_scale = self._read(first, mask, condition, layers)
        y = torch.cat([first, (shift + log_scale.exp() * second) * mask], dim=1)
        return Flowed(y, (log_scale * mask).sum((1, 2)))

    def inverse(self, y: Tensor, mask: Tensor, condition: Tensor, layers: GatedLayers) -> Flowed:
        first, second = y.split(self.kept, dim=1)
        shift, log_scale = self._read(first, mask, condition, layers)
        x = torch.cat([first, (second - shift) * (-log_scale).exp() * mask], dim=1)
        return Flowed(x, -(log_scale * mask).sum((1, 2)))

    def _read(
        self, first: Tensor, mask: Tensor, condition: Tensor, layers: GatedLayers
    ) -> tuple[Tensor, Tensor]:
        found = layers(self.start(first) * mask, mask, self.condition(condition))
        shift, log_scale = self.end(found).split(self.kept, dim=1)
        return shift, log_scale


class AdditiveCoupling(nn.Module):
    """The second half is shifted by what a WaveNet reads in the first: no volume is changed.

    VITS, section 2.5.1, where it begins as the identity; the prior flow of PortaSpeech, section
    3.2, begins at random, as here.
    """

    def __init__(self, channels: int, width: int, kernel: int, layers: int, condition: int = 0):
        super().__init__()
        self.kept = channels // 2
        self.start = nn.Conv1d(self.kept, width, 1)
        self.wavenet = WaveNet(width, kernel, layers, condition)
        self.end = nn.Conv1d(width, self.kept, 1)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor | None = None) -> Flowed:
        first, second = x.split(self.kept, dim=1)
        y = torch.cat([first, second + self._shift(first, mask, condition)], dim=1) * mask
        return Flowed(y, x.new_zeros(len(x)))

    def inverse(self, y: Tensor, mask: Tensor, condition: Tensor | None = None) -> Flowed:
        first, second = y.split(self.kept, dim=1)
        x = torch.cat([first, second - self._shift(first, mask, condition)], dim=1) * mask
        return Flowed(x, y.new_zeros(len(y)))

    def _shift(self, first: Tensor, mask: Tensor, condition: Tensor | None) -> Tensor:
        return self.end(self.wavenet(self.start(first) * mask, mask, condition))


class ResidualFlow(nn.Module):
    """Additive couplings, the channels turned round after each. VITS, section 2.5.1."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int,
        layers: int,
        condition: int = 0,
        couplings: int = 4,
    ):
        super().__init__()
        self.couplings = nn.ModuleList(
            AdditiveCoupling(channels, width, kernel, layers, condition) for _ in range(couplings)
        )

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor | None = None) -> Flowed:
        for coupling in self.couplings:
            x = coupling(x, mask, condition).values.flip(1)
        return Flowed(x, x.new_zeros(len(x)))

    def inverse(self, y: Tensor, mask: Tensor, condition: Tensor | None = None) -> Flowed:
        for number in reversed(range(len(self.couplings))):
            coupling = self.couplings[number]
            assert isinstance(coupling, AdditiveCoupling)
            y = coupling.inverse(y.flip(1), mask, condition).values
        return Flowed(y, y.new_zeros(len(y)))


def squeeze(x: Float[Tensor, "b c t"], by: int = 2) -> Float[Tensor, "b byc tby"]:
    """`by` frames side by side become one of `by` times the channels, the first frame's first.

    Frames that are left over at the end are dropped. Glow-TTS, section 3.1.
    """
    b, channels, t = x.shape
    cut = x[:, :, : t // by * by].reshape(b, channels, t // by, by)
    return cut.permute(0, 3, 1, 2).reshape(b, by * channels, t // by)


def unsqueeze(x: Float[Tensor, "b byc t"], by: int = 2) -> Float[Tensor, "b c byt"]:
    """The reverse of `squeeze`."""
    b, channels, t = x.shape
    apart = x.reshape(b, by, channels // by, t).permute(0, 2, 3, 1)
    return apart.reshape(b, channels // by, by * t)


class Step(nn.Module):
    """One step of Glow: ActNorm, mixing, coupling."""

    def __init__(self, channels: int, layers: GatedLayers, condition: int, group: int):
        super().__init__()
        self.norm = ActNorm(channels)
        self.mixing = GroupedMixing(channels, group)
        self.coupling = AffineCoupling(channels, layers, condition)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor, layers: GatedLayers) -> Flowed:
        x, a = self.norm(x, mask)
        x, b = self.mixing(x, mask)
        x, c = self.coupling(x, mask, condition, layers)
        return Flowed(x, a + b + c)

    def inverse(self, y: Tensor, mask: Tensor, condition: Tensor, layers: GatedLayers) -> Flowed:
        y, c = self.coupling.inverse(y, mask, condition, layers)
        y, b = self.mixing.inverse(y, mask)
        y, a = self.norm.inverse(y, mask)
        return Flowed(y, a + b + c)


class Glow(nn.Module):
    """Glow over a sequence, with gated layers that groups of `sharing` steps have in common.

    channels, condition: of one frame; `squeeze` frames are taken together.
    Glow-TTS, section 3.1; the sharing: PortaSpeech, section 3.3.

    >>> flow = Glow(channels=4, width=8, kernel=3, steps=4, layers=2, condition=3, sharing=2)
    >>> flow(torch.randn(1, 4, 6), torch.ones(1, 1, 6), torch.randn(1, 3, 6)).values.shape
    torch.Size([1, 4, 6])
    """

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int,
        steps: int,
        layers: int,
        condition: int,
        sharing: int = 1,
        squeezing: int = 2,
        group: int = 4,
    ):
        super().__init__()
        self.sharing, self.squeezing = sharing, squeezing
        self.layers = nn.ModuleList(
            GatedLayers(width, kernel, layers) for _ in range(0, steps, sharing)
        )
        wide, told = channels * squeezing, condition * squeezing
        self.steps = nn.ModuleList(
            Step(wide, self._layers(number), told, group) for number in range(steps)
        )

    def _layers(self, step: int) -> GatedLayers:
        found = self.layers[step // self.sharing]
        assert isinstance(found, GatedLayers)
        return found

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor) -> Flowed:
        """What is modelled (b, channels, t) to noise; t has to be a multiple of `squeezing`."""
        x, mask, condition = self._squeezed(x, mask, condition)
        total = x.new_zeros(len(x))
        for number, step in enumerate(self.steps):
            x, more = step(x, mask, condition, self._layers(number))
            total = total + more
        return Flowed(unsqueeze(x, self.squeezing), total)

    def inverse(self, y: Tensor, mask: Tensor, condition: Tensor) -> Flowed:
        """Noise to what is modelled."""
        y, mask, condition = self._squeezed(y, mask, condition)
        total = y.new_zeros(len(y))
        for number in reversed(range(len(self.steps))):
            step = self.steps[number]
            assert isinstance(step, Step)
            y, more = step.inverse(y, mask, condition, self._layers(number))
            total = total + more
        return Flowed(unsqueeze(y, self.squeezing), total)

    def _squeezed(self, x: Tensor, mask: Tensor, condition: Tensor) -> tuple[Tensor, ...]:
        mask = mask[:, :, self.squeezing - 1 :: self.squeezing]  # a frame is whole or is none
        return squeeze(x, self.squeezing) * mask, mask, squeeze(condition, self.squeezing) * mask
