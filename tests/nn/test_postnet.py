from __future__ import annotations

import pytest
import torch
from torch.nn.functional import batch_norm, conv1d

from sonograph.nn.postnet import CBHG, Postnet


@torch.no_grad()
def test_tacotron_2s_post_net_is_the_formula():
    torch.manual_seed(0)
    net, mel = Postnet(6, width=8, layers=3).eval(), torch.randn(2, 9, 6)
    x = mel.transpose(1, 2)
    for k in range(3):
        layer, norm = net.convolutions[k], net.norms[k]
        norm.running_mean.normal_()
        x = conv1d(x, layer.weight, layer.bias, padding=2)
        x = batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        x = x.tanh() if k < 2 else x
    torch.testing.assert_close(net(mel), x.transpose(1, 2))


@torch.no_grad()
def test_cbhg_hears_both_ways_and_keeps_the_length():
    torch.manual_seed(0)
    net, mel = CBHG(6, bank=4, width=8).eval(), torch.randn(1, 12, 6)
    out = net(mel)
    assert out.shape == mel.shape
    for place in (0, 11):
        other = mel.clone()
        other[:, place] += 1
        assert ((net(other) - out).abs().amax((0, 2)) > 1e-7).all()


@pytest.mark.parametrize("size", [1, 2, 5])
@torch.no_grad()
def test_cbhg_takes_the_shortest(size):
    assert CBHG(4, bank=4, width=4).eval()(torch.randn(2, size, 4)).shape == (2, size, 4)


@pytest.mark.parametrize("make", [lambda: Postnet(6, width=8), lambda: CBHG(6, bank=4, width=8)])
@torch.no_grad()
def test_padding_changes_nothing(make):
    torch.manual_seed(0)
    net, mel = make().eval(), torch.randn(2, 9, 6)
    for parameter in net.parameters():
        parameter.copy_(0.3 * torch.randn_like(parameter))
    mask = torch.arange(9) < torch.tensor([9, 5])[:, None]
    torch.testing.assert_close(net(mel, mask)[1, :5], net(mel[1:, :5])[0], rtol=1e-4, atol=1e-5)
