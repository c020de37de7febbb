"""Flows: inverses and log-determinants, against autograd's Jacobians."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sonograph.nn import couplings
from sonograph.nn.couplings import ActNorm, AdditiveCoupling, AffineCoupling, Glow, GroupedMixing
from sonograph.nn.wavenet import GatedLayers

CHANNELS, T = 8, 4


class Alone(nn.Module):
    """An affine coupling with its layers and condition at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = GatedLayers(4, 3, 2)
        self.coupling = AffineCoupling(CHANNELS, self.layers, 3)
        self.told = nn.Parameter(torch.randn(1, 3, T))

    def forward(self, x: Tensor, mask: Tensor) -> couplings.Flowed:
        return self.coupling(x, mask, self.told.expand(len(x), -1, -1), self.layers)

    def inverse(self, y: Tensor, mask: Tensor) -> couplings.Flowed:
        return self.coupling.inverse(y, mask, self.told.expand(len(y), -1, -1), self.layers)


class Told(nn.Module):
    """A flow with its condition at hand."""

    def __init__(self, flow: nn.Module):
        super().__init__()
        self.flow = flow
        self.told = nn.Parameter(torch.randn(1, 3, T))

    def forward(self, x: Tensor, mask: Tensor) -> couplings.Flowed:
        return self.flow(x, mask, self.told.expand(len(x), -1, -1))

    def inverse(self, y: Tensor, mask: Tensor) -> couplings.Flowed:
        return self.flow.inverse(y, mask, self.told.expand(len(y), -1, -1))


FLOWS: dict[str, Callable[[], nn.Module]] = {
    "act norm": lambda: ActNorm(CHANNELS),
    "mixing": lambda: GroupedMixing(CHANNELS, 4),
    "affine": Alone,
    "additive": lambda: Told(AdditiveCoupling(CHANNELS, 4, 3, 2, 3)),
    "residual flow": lambda: Told(couplings.ResidualFlow(CHANNELS, 4, 3, 2, 3)),
    "glow": lambda: Told(Glow(CHANNELS, 4, 3, steps=3, layers=2, condition=3, sharing=2)),
}


def made(name: str) -> nn.Module:
    """The flow with random weights, those that begin at 0 included, in float64."""
    torch.manual_seed(0)
    flow = FLOWS[name]().double()
    for weight in flow.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return flow


@pytest.mark.parametrize("name", FLOWS)
def test_log_determinant_is_that_of_the_jacobian(name: str) -> None:
    flow = made(name)
    x, mask = torch.randn(1, CHANNELS, T).double(), torch.ones(1, 1, T).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x, mask).values.flatten(), x)
    want = torch.linalg.slogdet(jacobian.reshape(CHANNELS * T, -1)).logabsdet
    torch.testing.assert_close(flow(x, mask).log_determinant, want[None])


@pytest.mark.parametrize("name", FLOWS)
def test_inverse_brings_back_what_was_given(name: str) -> None:
    flow = made(name)
    lengths = torch.tensor([T, T - 2])
    mask = (torch.arange(T) < lengths[:, None])[:, None].double()
    x = torch.randn(2, CHANNELS, T).double() * mask
    y, there = flow(x, mask)
    again, back = flow.inverse(y, mask)
    torch.testing.assert_close(again, x)
    torch.testing.assert_close(back, -there)
    assert (y[1, :, T - 2 :] == 0).all()


@pytest.mark.parametrize("name", ["act norm", "mixing", "glow"])
def test_padding_changes_nothing(name: str) -> None:
    flow = made(name)
    x = torch.randn(1, CHANNELS, T).double()
    mask = (torch.arange(T) < 2).double()[None, None]
    padded = flow(x * mask, mask)
    if isinstance(flow, Told):
        flow.told.data = flow.told.data[..., :2]
    alone = flow(x[..., :2], mask[..., :2])
    torch.testing.assert_close(padded.values[..., :2], alone.values)
    torch.testing.assert_close(padded.log_determinant, alone.log_determinant)


def test_additive_flows_keep_volume() -> None:
    flow = made("residual flow")
    x, mask = torch.randn(3, CHANNELS, T).double(), torch.ones(3, 1, T).double()
    assert (flow(x, mask).log_determinant == 0).all()


def test_act_norm_fits_mean_and_variance() -> None:
    torch.manual_seed(0)
    norm = ActNorm(3)
    mask = (torch.arange(50) < torch.tensor([50, 31])[:, None])[:, None].float()
    x = (5 + 3 * torch.randn(2, 3, 50)) * mask
    norm.fit(x, mask)
    valid = norm(x, mask).values.transpose(0, 1)[:, mask[:, 0] > 0]
    torch.testing.assert_close(valid.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(valid.var(1, unbiased=False), torch.ones(3))


def test_mixing_begins_as_a_rotation() -> None:
    torch.manual_seed(3)
    matrix = GroupedMixing(16, 4).matrix
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(4), atol=1e-5, rtol=1e-5)
    assert torch.linalg.det(matrix) > 0


def test_mixing_takes_from_both_halves() -> None:
    mixing = made("mixing").float()
    x = torch.zeros(1, CHANNELS, 1)
    x[0, 0] = 1.0
    touched = mixing(x, torch.ones(1, 1, 1)).values[0, :, 0].nonzero()[:, 0]
    assert touched.tolist() == [0, 1, 4, 5]


def test_glow_begins_as_rotations_alone() -> None:
    flow = Glow(CHANNELS, 4, 3, steps=2, layers=1, condition=3)
    x = torch.randn(1, CHANNELS, T)
    y, determinant = flow(x, torch.ones(1, 1, T), torch.randn(1, 3, T))
    torch.testing.assert_close(y.norm(), x.norm())
    torch.testing.assert_close(determinant, torch.zeros(1), atol=1e-5, rtol=0)


def test_squeezing_keeps_frames_together() -> None:
    x = torch.arange(12.0).reshape(1, 2, 6)
    tight = couplings.squeeze(x)
    assert tight[0, :, 0].tolist() == [0.0, 6.0, 1.0, 7.0]
    torch.testing.assert_close(couplings.unsqueeze(tight), x)
    assert couplings.squeeze(x[..., :5]).shape == (1, 4, 2)


@pytest.mark.parametrize(("channels", "group"), [(6, 4), (8, 3)])
def test_channels_that_do_not_fall_into_groups_are_refused(channels: int, group: int) -> None:
    with pytest.raises(ValueError, match="even groups"):
        GroupedMixing(channels, group)
